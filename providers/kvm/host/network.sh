# The network that the VMs share: $BRIDGE, and where it is ours (nobody had made it), its address, NAT, DHCP and DNS.
# Called with the base locked.
# A bridge of this hardware address is ours: it is set as the device is made, so no script that was cut short leaves one unmarked.
OURS=02:50:50:4b:56:4d
isOurs() { ip -o link show dev "$BRIDGE" 2>/dev/null | grep -q "link/ether $OURS "; }
natTable() { echo "peerpods_kvm_$BRIDGE" | tr -c 'a-z0-9_\n' _; }
dhcpRuns() {
  [ -s "$BASE/dnsmasq.pid" ] || return 1
  read -r pid <"$BASE/dnsmasq.pid"
  tr '\0' '\n' <"/proc/$pid/cmdline" 2>/dev/null | grep -qxF -- "--pid-file=$BASE/dnsmasq.pid"
}

networkUp() {
  if ! ip link show dev "$BRIDGE" >/dev/null 2>&1; then
    run ip link add "$BRIDGE" address "$OURS" type bridge
  fi
  isOurs || return 0
  run ip addr replace "$GATEWAY/$PREFIX_LENGTH" dev "$BRIDGE"
  run ip link set "$BRIDGE" up
  if [ "$NAT" = 1 ]; then
    [ "$(cat /proc/sys/net/ipv4/ip_forward)" = 1 ] || run sh -c 'echo 1 >/proc/sys/net/ipv4/ip_forward'
    if ! nft list table ip "$(natTable)" >/dev/null 2>&1; then
      run nft -f - <<RULES
table ip $(natTable) {
  chain postrouting {
    type nat hook postrouting priority srcnat; policy accept;
    ip saddr $SUBNET ip daddr != $SUBNET masquerade
  }
}
RULES
    fi
  fi
  if [ "$DHCP" = 1 ] && ! dhcpRuns; then
    # Every VM's hardware address has a file of its own in dhcp/, which dnsmasq reads as soon as it is there.
    run dnsmasq --conf-file=/dev/null --user=root --group=root --pid-file="$BASE/dnsmasq.pid" \
      --interface="$BRIDGE" --except-interface=lo --bind-interfaces --no-hosts \
      --dhcp-hostsdir="$BASE/dhcp" --dhcp-leasefile="$BASE/dnsmasq.leases" --dhcp-authoritative \
      --dhcp-range="$NETWORK,static,$NETMASK,infinite" --dhcp-option="option:router,$GATEWAY" \
      --dhcp-option="option:dns-server,$DNS" 8>&- 9>&-
  fi
}

# Takes down what networkUp made, once no VM is left.
networkDownIfUnused() {
  [ -z "$(ls -A "$BASE/vms" "$BASE/new" "$BASE/gone" 2>/dev/null | grep -v -e ':$' -e '^$')" ] || return 0
  if dhcpRuns; then kill "$pid"; fi
  rm -f "$BASE/dnsmasq.pid" "$BASE/dnsmasq.leases"
  isOurs || return 0
  nft delete table ip "$(natTable)" 2>/dev/null
  run ip link del "$BRIDGE"
}
