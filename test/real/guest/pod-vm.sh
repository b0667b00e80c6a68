#!/bin/sh
# The stock pod VM's systemd units, in their order, for a VM that has no systemd. It is the image of a machine room's VM when
# the real peers are tested. A launcher beside the test sets, before it sources this file:
#   PEERS   folder with process-user-data, agent-protocol-forwarder, kata-agent and busybox
#   HUB     command that stands for the confidential data hub
#   PAUSE   OCI bundle of the pause container, as the stock image has at /pause_bundle
# Units: cloud-api-adaptor fbdde756, src/cloud-api-adaptor/podvm/files/etc/systemd/system.
set -u

wait_for() { # a .path unit: PathExists
  while [ ! -e "$1" ]; do sleep 0.02; done
}

unit() { # name, command...: its output goes to the console, named
  name=$1
  shift
  "$@" 2>&1 | sed -u "s/^/$name: /"
}

mkdir -p /run/kata-containers /run/confidential-containers /pause_bundle
mount --bind "$PAUSE" /pause_bundle
printf 'server_addr = "unix:///run/kata-containers/agent.sock"\nguest_components_procs = "none"\n' >/run/agent-config.toml

# process-user-data.service, a one-shot: what follows needs its files.
"$PEERS/process-user-data" provision-files || exit 1

# netns@podns.service
ip netns add podns
ip -n podns link set lo up

# confidential-data-hub.service; kata-agent.path; kata-agent.service
unit hub sh -c "$HUB" &
wait_for /run/confidential-containers/cdh.sock
unit agent "$PEERS/kata-agent" --config /run/agent-config.toml &

# agent-protocol-forwarder.path; agent-protocol-forwarder.service (Restart=on-failure, RestartSec=5s)
wait_for /run/kata-containers/agent.sock
while :; do
  unit forwarder "$PEERS/agent-protocol-forwarder" -pod-namespace /run/netns/podns \
    -kata-agent-socket /run/kata-containers/agent.sock
  sleep 5
done
