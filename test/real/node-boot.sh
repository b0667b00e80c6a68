#!/bin/sh
# Makes a private node and runs a command in it: network, mount, pid and cgroup namespaces, with a /run, /etc, /opt and /var/lib of
# its own. All of it goes when the command ends; nothing of the machine is changed.
#   node-boot.sh enter <cgroup name> <command...>
set -eu

case $1 in
enter)
  cgroup=$2
  shift 2
  for hierarchy in $(awk '$0 ~ / - cgroup2? / { print $5 }' /proc/self/mountinfo); do
    mkdir -p "$hierarchy/$cgroup"
    # cpuset's groups start without processors, and then take no process.
    for limit in cpuset.cpus cpuset.mems; do
      if [ -f "$hierarchy/$limit" ]; then cat "$hierarchy/$limit" >"$hierarchy/$cgroup/$limit" || true; fi
    done
    echo $$ >"$hierarchy/$cgroup/cgroup.procs"
  done
  exec setpriv --pdeathsig KILL unshare --net --mount --pid --cgroup --fork --kill-child=KILL --mount-proc -- \
    /bin/sh "$0" init "$@"
  ;;
init)
  shift
  # The cgroup hierarchies again, rooted at the group of this node.
  awk '$0 ~ / - cgroup2? / { print $5, $(NF - 2), $NF }' /proc/self/mountinfo | while read -r at type options; do
    umount "$at"
    case $type in
    cgroup2) mount -t cgroup2 cgroup2 "$at" ;;
    cgroup)
      options=$(echo "$options" | sed 's/^rw,//; s/^\(.*,\)\{0,1\}name=/none,name=/')
      mount -t cgroup -o "$options" cgroup "$at"
      ;;
    esac
  done
  mount -t tmpfs -o mode=0755 run /run
  mkdir -p /run/netns /run/node/layers
  for dir in etc opt var/lib; do
    layer=/run/node/layers/$(echo $dir | tr / -)
    mkdir -p "$layer/upper" "$layer/work"
    mount -t overlay -o "lowerdir=/$dir,upperdir=$layer/upper,workdir=$layer/work" overlay "/$dir"
  done
  # A /dev of its own: the shims want a syslog listener on /dev/log.
  mkdir -p /run/node/dev
  mount -t tmpfs -o mode=0755 dev /run/node/dev
  for device in null zero full random urandom tty kmsg fuse net/tun loop-control; do
    mkdir -p "/run/node/dev/$(dirname $device)"
    if [ -c "/dev/$device" ]; then cp -a "/dev/$device" "/run/node/dev/$device"; fi
  done
  mkdir -p /run/node/dev/shm /run/node/dev/mqueue /run/node/dev/pts
  mount -t tmpfs -o mode=1777 shm /run/node/dev/shm
  mount -t mqueue mqueue /run/node/dev/mqueue
  mount -t devpts -o newinstance,ptmxmode=0666,mode=0620 devpts /run/node/dev/pts
  ln -s pts/ptmx /run/node/dev/ptmx
  ln -s /proc/self/fd /run/node/dev/fd
  for stream in 0:stdin 1:stdout 2:stderr; do ln -s "fd/${stream%:*}" "/run/node/dev/${stream#*:}"; done
  mount --move /run/node/dev /dev
  # The node's address, by which pod VMs reach it.
  ip link set lo up
  ip link add eth0 type veth peer name uplink
  ip address add 192.0.2.2/24 dev eth0
  ip link set uplink up
  ip link set eth0 up
  ip route add default via 192.0.2.1
  echo 1 >/proc/sys/net/ipv4/ip_forward
  "$@" &
  main=$!
  # wait also reaps what containerd's shims leave behind; it returns early when a trap ran.
  trap 'kill -TERM $main' TERM INT
  while :; do
    code=0
    wait $main || code=$?
    kill -0 $main 2>/dev/null || exit $code
  done
  ;;
esac
