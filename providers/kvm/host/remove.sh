# Ends a VM's QEMU for good and removes all that was made for it; what is gone already is fine. The folder is moved to gone/ first,
# where the next attempt finds it and no QEMU can be started from it, and goes last.
[ -d "$BASE" ] || exit 0
lockBase
cd "$BASE" || exit 1
rm -rf "new/$NAME"
if [ -d "vms/$NAME" ] && [ ! -d "gone/$NAME" ]; then run mv "vms/$NAME" "gone/$NAME"; fi
unlockBase
id=$ID
if cd "gone/$NAME" 2>/dev/null; then
  exec 9>lock || exit 1
  # Whoever starts it finishes or fails now: its folder has another name.
  flock -w 30 9 || fail 1 "a start of the VM does not end"
  if [ -s id ]; then read -r id <id; fi
fi
if [ "$id" ]; then
  tries=0
  while pids=$(processesOf "$id") && [ "$pids" ]; do
    [ "$tries" -lt 200 ] || fail 1 "QEMU (process $pids) does not end"
    for pid in $pids; do kill -KILL "$pid" 2>/dev/null; done
    tries=$((tries + 1))
    sleep 0.05
  done
  taps=$(ip -o link | sed -n "s/^[0-9]*: \($TAP_PREFIX$(echo "$id" | cut -c1-8)-[0-9]*\)[:@].*/\1/p")
  for tap in $taps; do run ip link del dev "$tap"; done
fi
# It has keys.
if [ -s cidata.iso ]; then
  dd if=/dev/zero of=cidata.iso bs=2048 count="$(($(wc -c <cidata.iso) / 2048))" conv=notrunc,fsync 2>/dev/null
fi
lockBase
cd "$BASE" || exit 1
rm -f "dhcp/$NAME"
run rm -rf "gone/$NAME"
networkDownIfUnused
