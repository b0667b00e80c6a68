#!/bin/busybox sh
# First process of the pod VM image: mounts, drivers, network, user data; then the guest, and the end of the machine when it ends.
export PATH=/usr/local/bin:/usr/bin:/usr/sbin:/bin:/sbin HOME=/root

# A process of the initial ramfs cannot change its root, and runc must: a mount of the same files over it can.
if [ "${1:-}" != "booted" ]; then
  busybox mount -t proc proc /proc
  busybox mount -t sysfs sysfs /sys
  busybox mkdir -p /self
  busybox mount --bind / /self
  for place in proc sys dev; do
    busybox mount -t devtmpfs dev /dev 2>/dev/null
    busybox mount --bind "/$place" "/self/$place"
  done
  cd /self && busybox mount --move . /
  exec busybox chroot . /init booted
fi

say() { echo "podvm: $*" >/dev/console; }
halt() { say "$*"; sync; poweroff -f; }

mkdir -p /dev/pts /dev/shm /media/cidata
mount -t devpts -o gid=5,mode=620,ptmxmode=666 devpts /dev/pts
mount -t tmpfs -o mode=1777 tmpfs /dev/shm
mount -t tmpfs -o mode=0755 tmpfs /run
mount -t tmpfs -o mode=1777 tmpfs /tmp
mount -t cgroup2 cgroup2 /sys/fs/cgroup
for controller in cpuset cpu io memory pids; do
  echo "+$controller" >/sys/fs/cgroup/cgroup.subtree_control 2>/dev/null
done
mkdir -p /run/netns /run/peerpod
ln -sf /proc/self/fd /dev/fd

while read -r module; do
  insmod "/lib/modules/$module" || say "module $module was not loaded"
done </lib/modules/order
hostname podvm
ip link set lo up

# The volume labelled cidata, on whatever bus it is; the label of an ISO 9660 volume is at this place.
findVolume() {
  for path in /sys/class/block/*; do
    device=/dev/${path##*/}
    label=$(dd if="$device" bs=1 skip=32808 count=6 2>/dev/null)
    [ "$label" = cidata ] && echo "$device" && return
  done
  return 1
}
volume=
for attempt in 1 2 3 4 5 6 7 8 9 10; do
  volume=$(findVolume) && break
  sleep 0.2
done
[ -n "$volume" ] || halt "no volume labelled cidata"
mount -t iso9660 -o ro "$volume" /media/cidata || halt "cannot mount $volume"

# Fixed addresses where the volume's network-config names them (as our provider writes it), else DHCP.
fixedAddress() {
  awk -v wanted="$1" '
    { gsub(/"/, ""); gsub(/\[/, ""); gsub(/\]/, "") }
    $1 == "macaddress:" { mac = $2 }
    mac == wanted && $1 == "addresses:" && !seen { print "address", $2; seen = 1 }
    mac == wanted && $1 == "via:" { print "gateway", $2 }
  ' /media/cidata/network-config
}
setUpInterface() {
  device=$1
  read -r mac <"/sys/class/net/$device/address"
  ip link set "$device" up
  if [ -f /media/cidata/network-config ]; then
    fixedAddress "$mac" | while read -r kind value; do
      case $kind in
        address) ip addr add "$value" dev "$device" ;;
        gateway) ip route add default via "$value" dev "$device" ;;
      esac
    done
  else
    udhcpc -q -f -n -t 10 -i "$device" -s /etc/udhcpc.sh
  fi
}
for path in /sys/class/net/*; do
  device=${path##*/}
  [ "$device" = lo ] || setUpInterface "$device"
done
for setting in $(cat /proc/cmdline); do
  case $setting in PEERPOD_GUEST_*=*) export "${setting?}" ;; esac
done

say "kernel $(uname -r), up $(cut -d' ' -f1 /proc/uptime) s"
acpid -c /etc/acpi -l /dev/null >/dev/null 2>&1
export NODE_COMPILE_CACHE=/opt/guest/compiled NODE_COMPILE_CACHE_PORTABLE=1
node --disable-warning=ExperimentalWarning /opt/guest/providers/mock/guest/main.js </dev/null >/dev/console 2>&1 &
guest=$!
echo "$guest" >/run/guest.pid
wait "$guest"
halt "the guest ended with status $?"
