#!/bin/sh
# Compiles what the program loads, for the users that its pods run as: Node keeps compiled code by user.
set -eu
export NODE_COMPILE_CACHE=/opt/cloud-api-adaptor/dist/compiled
mkdir -p "$NODE_COMPILE_CACHE"
chmod 1777 "$NODE_COMPILE_CACHE"
for user in 0 65532; do
  setpriv --reuid "$user" --regid "$user" --clear-groups \
    /usr/local/bin/node --disable-warning=ExperimentalWarning /tmp/image/warm.mjs
done
chmod -R go-w,a+rX "$NODE_COMPILE_CACHE"
chmod 0755 "$NODE_COMPILE_CACHE"
