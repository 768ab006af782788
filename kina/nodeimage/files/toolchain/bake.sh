#!/bin/sh
# Runs in the node's root: imports images, unpacked, into its containerd, as they will be found at boot.
set -eu
mount -t proc proc /proc
mount -t tmpfs tmpfs /run
mount -t tmpfs tmpfs /tmp
mount -t tmpfs tmpfs /dev
mknod -m 666 /dev/null c 1 3
mknod -m 666 /dev/zero c 1 5
mknod -m 666 /dev/urandom c 1 9
mknod -m 666 /dev/random c 1 8
containerd --log-level warn &
tries=0
until ctr version >/dev/null 2>&1; do
    tries=$((tries + 1))
    [ "$tries" -lt 150 ] || { echo "containerd does not answer"; exit 1; }
    sleep 0.2
done
ctr --namespace k8s.io images import --all-platforms --snapshotter overlayfs /images.tar
ctr --namespace k8s.io images ls
# Its database is complete when it has ended.
kill %1 2>/dev/null || kill $!
wait $! || true
rm -rf /images.tar /bake.sh
