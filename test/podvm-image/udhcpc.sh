#!/bin/busybox sh
# What DHCP said, put into effect; the stock image's systemd-networkd does the same.
case $1 in
  bound | renew)
    ip addr replace "$ip/$mask" dev "$interface"
    for gateway in ${router:-}; do
      ip route replace default via "$gateway" dev "$interface"
      break
    done
    ;;
esac
