# One line for each VM (those of $NAMES, else all): name, where it stands, addresses, its record, and why it ended; by tabs.
cd "$BASE" 2>/dev/null || exit 0
describe() {
  [ -s "$1/vm.json" ] || return 0
  reason=
  if [ "${1%%/*}" = gone ]; then state=deleting
  elif isAlive "$1"; then state=running
  elif [ ! -e "$1/started" ]; then state=creating
  else
    if [ -e "$1/qemu.pid" ]; then state=failed; else state=stopped; fi
    reason=$(tail -n 3 "$1/qemu.log" 2>/dev/null | tr -c '[:print:]' ' ')
  fi
  # A guest that talks for ever must not fill the host's disk: QEMU appends, so that the log may be cut at any time.
  if [ "$(wc -c <"$1/serial.log" 2>/dev/null || echo 0)" -gt "$CONSOLE_BYTES" ]; then
    tail -c "$((CONSOLE_BYTES / 2))" "$1/serial.log" >"$1/serial.old" && : >"$1/serial.log"
  fi
  printf '%s\t%s\t%s\t%s\t%s\n' "${1#*/}" "$state" "$(tr '\n' ' ' <"$1/addresses")" "$(cat "$1/vm.json")" "$reason"
}
if [ $# -gt 0 ]; then
  for name; do
    describe "vms/$name"
    describe "gone/$name"
  done
else
  for folder in vms/* gone/*; do describe "$folder"; done
fi
