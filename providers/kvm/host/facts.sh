# What the operator must know of the host, as KEY=value lines.
value() { echo "$1=$2"; }
first() { "$@" 2>/dev/null | head -n 1; }
value arch "$(uname -m)"
value boot-id "$(cat /proc/sys/kernel/random/boot_id)"
qemu=${QEMU:-qemu-system-$(uname -m)}
value qemu "$(first "$qemu" --version)"
value qemu-img "$(first qemu-img --version)"
value missing "$(for tool in flock ip bridge base64 grep tr $([ "$DHCP" = 1 ] && echo dnsmasq) $([ "$NAT" = 1 ] && echo nft); do
  command -v "$tool" >/dev/null || printf '%s ' "$tool"; done)"
value kvm "$([ -r /dev/kvm ] && [ -w /dev/kvm ] && echo 1)"
value vhost "$([ -w /dev/vhost-net ] && echo 1)"
if ip -o link show dev "$BRIDGE" >/dev/null 2>&1; then
  if isOurs; then value bridge ours
  elif ip -o -d link show dev "$BRIDGE" | grep -qw bridge; then value bridge other
  else value bridge none
  fi
fi
value root "$([ "$(id -u)" = 0 ] && echo 1)"
if mkdir -p "$BASE" 2>/dev/null && [ -w "$BASE" ]; then value base ok; fi
if [ -d "$IMAGE" ]; then
  value image "$([ -e "$IMAGE/vmlinuz" ] && echo kernel)"
  value initrd "$([ -e "$IMAGE/initrd.img" ] && echo 1)"
  value cmdline "$(head -n 1 "$IMAGE/cmdline" 2>/dev/null)"
elif [ -f "$IMAGE" ]; then
  value image "$(if [ "$(head -c 3 "$IMAGE")" = QFI ]; then echo qcow2; else echo raw; fi)"
fi
value firmware "$([ -z "$FIRMWARE" ] || [ -f "$FIRMWARE" ] || echo missing)"
while read -r key kib _; do
  case $key in MemTotal:) value memory-total "$((kib / 1024))" ;; MemAvailable:) value memory-available "$((kib / 1024))" ;; esac
done </proc/meminfo
value promised "$(cat "$BASE"/vms/*/memory "$BASE"/gone/*/memory 2>/dev/null | tr '\n' ' ')"
case $SECURITY in s390-pv) object=s390-pv-guest ;; sev-snp) object=sev-snp-guest ;; *) object=tdx-guest ;; esac
value security-object "$([ -z "$SECURITY" ] || { "$qemu" -object help 2>/dev/null | grep -qw "$object" && echo 1; })"
value secure-execution "$(cat /sys/firmware/uv/prot_virt_host 2>/dev/null)"
value sev-snp "$(cat /sys/module/kvm_amd/parameters/sev_snp 2>/dev/null)"
value tdx "$(cat /sys/module/kvm_intel/parameters/tdx 2>/dev/null)"
value accel "$(cat "$BASE/accel" 2>/dev/null)"
