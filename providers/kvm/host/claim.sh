# Makes a VM's folder, with its record (standard input), its share of the memory and its addresses, or finds that there is one.
# Prints what is known of it as KEY=value lines. What is in vms/ is whole: it is made in new/ and moved.
lockBase
cd "$BASE" || exit 1
if [ -d "gone/$NAME" ]; then fail "$GONE" "the VM of that name is being deleted"; fi
tell() {
  echo "record=$(cat "vms/$NAME/vm.json")"
  echo "addresses=$(tr '\n' ' ' <"vms/$NAME/addresses")"
  echo "arch=$(uname -m)"
  [ -w /dev/vhost-net ] && echo "vhost=1"
  image=$(cat "vms/$NAME/image")
  if [ -d "$image" ]; then
    echo "image=kernel"
    [ -e "$image/initrd.img" ] && echo "initrd=1"
    echo "cmdline=$(head -n 1 "$image/cmdline" 2>/dev/null)"
  elif [ "$(head -c 3 "$image")" = QFI ]; then echo "image=qcow2"
  else echo "image=raw"
  fi
  exit 0
}
if [ -d "vms/$NAME" ]; then tell; fi

qemu=${QEMU:-qemu-system-$(uname -m)}
command -v "$qemu" >/dev/null || fail "$NO_IMAGE" "$qemu is not installed"
[ -e "$IMAGE" ] || fail "$NO_IMAGE" "there is no image $IMAGE"
promised=0
for share in vms/*/memory gone/*/memory; do
  [ -f "$share" ] && read -r mebibytes <"$share" && promised=$((promised + mebibytes))
done
while read -r key value _; do
  case $key in MemTotal:) total=$((value / 1024)) ;; MemAvailable:) available=$((value / 1024)) ;; esac
done </proc/meminfo
wanted=$((promised + MEMORY))
if [ "$MAX_MEMORY" -gt 0 ] && [ "$wanted" -gt "$MAX_MEMORY" ]; then
  fail "$QUOTA" "$MEMORY MiB more would be $wanted MiB for pod VMs, KVM_MAX_MEMORY is $MAX_MEMORY"
fi
if [ "$wanted" -gt "$total" ] || [ "$MEMORY" -gt "$available" ]; then
  fail "$CAPACITY" "$MEMORY MiB are asked for; the host has $total MiB, $available free, $promised promised to pod VMs"
fi

rm -rf "new/$NAME"
mkdir "new/$NAME" || exit 1
keepAll "new/$NAME/vm.json" "$RECORD_BYTES"
echo "$ID" >"new/$NAME/id"
echo "$MEMORY" >"new/$NAME/memory"
echo "$IMAGE" >"new/$NAME/image"
used=" $(cat vms/*/addresses gone/*/addresses 2>/dev/null | tr '\n' ' ')"
# A freed address is used again after all others, so that a late packet finds nobody.
next=$FIRST
[ -s next ] && read -r next <next
tried=0
count=0
: >"new/$NAME/addresses"
while [ "$count" -lt "$INTERFACES" ]; do
  [ "$tried" -le $((LAST - FIRST)) ] || { rm -rf "new/$NAME"; fail "$CAPACITY" "all addresses for pod VMs are taken"; }
  if [ "$next" -lt "$FIRST" ] || [ "$next" -gt "$LAST" ]; then next=$FIRST; fi
  address=$((next >> 24 & 255)).$((next >> 16 & 255)).$((next >> 8 & 255)).$((next & 255))
  tried=$((tried + 1))
  next=$((next + 1))
  case $used in *" $address "*) continue ;; esac
  [ "$address" = "$GATEWAY" ] && continue
  echo "$address" >>"new/$NAME/addresses"
  count=$((count + 1))
done
echo "$next" >next
mv "new/$NAME" "vms/$NAME" || exit 1
tell
