#!/bin/busybox sh
# The host asks the machine to stop: the guest ends its containers, then /init turns the machine off.
kill -TERM "$(cat /run/guest.pid)"
