#!/bin/sh
# enter.sh ROOT SOURCE:TARGET... -- COMMAND...: runs a command in a root, with directories of ours in it.
set -eu
root=$1
shift
while [ "$1" != -- ]; do
    mount --bind "${1%%:*}" "$root/${1#*:}"
    shift
done
shift
mount -t proc proc "$root/proc"
mount --rbind /dev "$root/dev"
exec chroot "$root" "$@"
