# Whether QEMU boots under KVM here: /dev/kvm may open and still run no guest, or run it a hundred times slower than software does.
# A boot sector (standard input, base64) that ends QEMU with status $BOOTED runs in software first, then under KVM, which may take
# ten times as long. Arguments: QEMU's. Prints "kvm", or "tcg" and a reason; remembered for this boot of the host.
boot=$(cat /proc/sys/kernel/random/boot_id)
mkdir -p "$BASE" || exit 1
exec 8>"$BASE/probe.lock" || exit 1
flock 8
if [ -s "$BASE/accel" ]; then
  read -r seen rest <"$BASE/accel"
  if [ "$seen" = "$boot" ]; then echo "$rest"; exit 0; fi
fi
answer() {
  rm -f "$BASE/probe.img"
  echo "$boot $*" >"$BASE/accel.new" && mv "$BASE/accel.new" "$BASE/accel"
  echo "$*"
  exit 0
}
now() { date +%s%N | cut -c1-13; }
boots() {
  limit=$1
  shift
  timeout -s KILL "$limit" "$QEMU" "$@" -drive "if=none,id=disk,format=raw,readonly=on,file=$BASE/probe.img" \
    </dev/null >"$BASE/probe.log" 2>&1 8>&-
}
if [ ! -r /dev/kvm ] || [ ! -w /dev/kvm ]; then answer "tcg there is no /dev/kvm that may be opened"; fi
base64 -d | keepAll "$BASE/probe.img" "$DISK_BYTES" || exit 1
began=$(now)
boots 60 -accel tcg -cpu max "$@"
[ $? = "$BOOTED" ] || fail 1 "QEMU does not boot in software emulation: $(head -n 3 "$BASE/probe.log")"
limit=$((($(now) - began) / 100 + 1))
boots "$limit" -accel kvm -cpu "$CPU" "$@"
status=$?
case $status in
  "$BOOTED") answer "kvm" ;;
  137) answer "tcg under KVM a boot sector does not run within $limit s, ten times what software emulation takes" ;;
  *) answer "tcg QEMU under KVM ends with status $status: $(head -n 2 "$BASE/probe.log" | tr '\n' ' ')" ;;
esac
