# Gives a claimed VM its volumes and network and starts its QEMU, which goes on by itself. What is already done is not done again.
# Standard input: the cidata volume in base64. After `--`: QEMU and its arguments.
cd "$BASE/vms/$NAME" 2>/dev/null || fail "$GONE" "the VM was deleted meanwhile"
exec 9>lock || exit 1
flock 9
# It may have been deleted while we waited.
[ "$PWD/id" -ef "$BASE/vms/$NAME/id" ] || fail "$GONE" "the VM was deleted meanwhile"
if isAlive . && [ -S qmp ]; then : >started; exit 0; fi
[ ! -e started ] || fail "$STOPPED" "$(tail -n 3 qemu.log 2>/dev/null | tr '\n' ' ')"

# A QEMU whose script was killed before it had written its process id.
for pid in $(processesOf "$(cat id)"); do kill -KILL "$pid" 2>/dev/null; done
rm -f qmp qemu.pid
base64 -d | keepAll cidata.iso "$CIDATA_BYTES" || exit 1
lockBase
networkUp
printf '%s' "$LEASES" >"$BASE/dhcp/$NAME"
unlockBase
for tap in $TAPS; do
  ip link show dev "$tap" >/dev/null 2>&1 || run ip tuntap add dev "$tap" mode tap
  run ip link set dev "$tap" master "$BRIDGE" up
  # Pod VMs have no business with each other on this network.
  run bridge link set dev "$tap" isolated on
done
if [ "$DISK_FORMAT" ]; then
  rm -f disk.qcow2
  # shellcheck disable=SC2086 # the size is one word, or none
  run qemu-img create -q -f qcow2 -F "$DISK_FORMAT" -b "$IMAGE" disk.qcow2 $DISK_SIZE >&2
fi
# A session of its own: it outlives this script, and whoever started it. It does not daemonize by itself, because its seccomp filter
# forbids forking from the first moment.
setsid "$@" </dev/null >qemu.log 2>&1 9>&- &
qemu=$!
until [ -S qmp ] && [ -s qemu.pid ]; do
  kill -0 "$qemu" 2>/dev/null || fail 1 "$(head -c 2000 qemu.log)"
  sleep 0.02
done
: >started
