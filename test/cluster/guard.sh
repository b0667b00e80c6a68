#!/bin/sh
# Ends processes and removes a folder when the process that started them is gone, however it ended: its end of our standard input
# closes with it. Each line of input names a process.
#   guard.sh FOLDER
set -u
pids=
while read -r pid; do pids="$pids $pid"; done
for pid in $pids; do kill -KILL "$pid" 2>/dev/null; done
# A process that is being ended may still write.
while ! rm -rf "$1" 2>/dev/null; do sleep 0.1; done
