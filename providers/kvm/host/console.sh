# The newest part of a VM's console.
cd "$BASE/vms/$NAME" 2>/dev/null || cd "$BASE/gone/$NAME" 2>/dev/null || fail "$GONE" "there is no such VM"
cat serial.old serial.log 2>/dev/null | tail -c "$CONSOLE_BYTES"
exit 0
