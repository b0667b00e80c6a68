#!/bin/sh
# Turns this process into a pod VM: `enter` runs on the host and makes the namespaces, `init` is the VM's first process.
# Everything it needs comes from the machine room in VM_* variables; file descriptor 3 is a socket to the machine room,
# which is told "namespaces", makes the network devices, answers with a line, and is told "up".
set -eu

case $1 in
enter)
  shift
  IFS=:
  for dir in $VM_CGROUPS; do echo $$ >"$dir/cgroup.procs"; done
  unset IFS
  # --pdeathsig and --kill-child: a machine room that was killed takes its VMs with it.
  exec setpriv --pdeathsig KILL unshare --net --mount --pid --uts --ipc --cgroup --fork --kill-child -- \
    /bin/sh "$0" init "$@"
  ;;
init)
  shift
  echo namespaces >&3
  read -r _ <&3
  echo "$VM_NAME" >/proc/sys/kernel/hostname
  # Interfaces of one subnet answer for their own address only.
  echo 1 >/proc/sys/net/ipv4/conf/all/arp_ignore
  ip -batch - <"$VM_DIR/network"
  # The root file system is the host's; what the VM writes stays in a tmpfs of its own.
  mount -n -t tmpfs -o mode=0755 disk "$VM_DIR/disk"
  cd "$VM_DIR/disk"
  directories=
  while read -r directory; do directories="$directories $directory"; done <"$VM_DIR/directories"
  mkdir -p $directories
  mount -n --all --fstab "$VM_DIR/fstab"
  if [ -s "$VM_DIR/extra-fstab" ]; then
    mount -n --all --fstab "$VM_DIR/extra-fstab" || echo "machine room: this VM lacks some of the host's file systems"
  fi
  devices=
  for device in /dev/null /dev/zero /dev/full /dev/random /dev/urandom /dev/tty /dev/fuse; do
    if [ -c "$device" ]; then devices="$devices $device"; fi
  done
  cp -a $devices root/dev/
  # Prepared by the machine room: what the root has beyond the host's, /.host among it.
  cp -a "$VM_DIR/skeleton/." root/
  if [ -c /dev/net/tun ]; then cp -a /dev/net/tun root/dev/net/; fi
  cd root
  pivot_root . .host
  cd /
  # Lets go of everything that the host has mounted, its /run/netns above all: the host could not delete those.
  umount -n -l /.host
  rmdir /.host
  if [ -f /sys/fs/cgroup/cgroup.controllers ]; then
    # cgroup v2 hands controllers down only from a group without processes of its own.
    mkdir -p /sys/fs/cgroup/init
    echo $$ >/sys/fs/cgroup/init/cgroup.procs
    for controller in $(cat /sys/fs/cgroup/cgroup.controllers); do
      echo "+$controller" >/sys/fs/cgroup/cgroup.subtree_control || true
    done
  fi
  echo up >&3
  exec 3>&-
  # A shell starts background processes with SIGINT and SIGQUIT ignored; the image and its containers must not inherit that.
  env -i --default-signal=INT,QUIT PATH="$PATH" HOME=/root LANG=C.UTF-8 "$@" &
  image=$!
  trap 'kill -TERM $image' TERM
  # wait also reaps what was orphaned in the VM; it returns early when the trap ran.
  while :; do
    code=0
    wait $image || code=$?
    kill -0 $image 2>/dev/null || exit $code
  done
  ;;
esac
