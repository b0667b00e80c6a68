# Begins every script that runs on the KVM host: POSIX sh, util-linux, iproute2. Arguments are KEY=value up to `--`.
# $BASE: vms/<name> a VM's folder, new/<name> one that is being made, gone/<name> one that is being deleted, lock.
set -u
umask 077
export LC_ALL=C PATH="$PATH:/usr/sbin:/sbin"
while [ $# -gt 0 ]; do
  if [ "$1" = "--" ]; then shift; break; fi
  export "${1?}"
  shift
done

# Exit statuses that the adaptor knows; others are judged by the text.
GONE=20 QUOTA=22 CAPACITY=23 STOPPED=24 NO_IMAGE=25
fail() { status=$1; shift; echo "$*" >&2; exit "$status"; }
run() { "$@" || fail 1 "$1 failed"; }

# Standard input into a file, after "| base64 -d" or as it is: all $2 bytes of it, or nothing is done. A caller that was killed has
# sent a part, and this script lives on.
keepAll() {
  cat >"$1" || exit 1
  [ "$(wc -c <"$1")" -eq "$2" ] || { rm -f "$1"; fail 1 "the caller ended before it had said everything"; }
}

# One at a time changes who is there and the network that all share.
lockBase() {
  mkdir -p "$BASE/vms" "$BASE/new" "$BASE/gone" "$BASE/dhcp" || exit 1
  exec 8>"$BASE/lock" || exit 1
  flock 8
}
unlockBase() { exec 8>&-; }

# Processes that have the VM's id as an argument of its own, but for scripts such as this. The pattern does not come by the command
# line, so grep is not among them.
processesOf() {
  echo "$1" | grep -lzxFs -f - /proc/[0-9]*/cmdline | while IFS=/ read -r _ _ pid _; do
    grep -qzxFs peerpods-kvm "/proc/$pid/cmdline" || echo "$pid"
  done
}
isAlive() {
  [ -s "$1/qemu.pid" ] && [ -s "$1/id" ] || return 1
  read -r pid <"$1/qemu.pid"
  tr '\0' '\n' <"/proc/$pid/cmdline" 2>/dev/null | grep -qxF -f "$1/id"
}
