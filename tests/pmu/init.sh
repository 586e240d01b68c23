#!/bin/sh
# The first and only script of the emulated machine: mounts what there is, runs the command that lies in the share
# `run`, leaves its output and exit status there, and turns the machine off.
export PATH=/usr/bin:/usr/sbin HOME=/root PYTHONPATH=/ztop:/ztop/protocol
/bin/busybox mount -t proc proc /proc
/bin/busybox mount -t sysfs sysfs /sys
/bin/busybox mount -t devtmpfs devtmpfs /dev
ln -s /proc/self/fd /dev/fd
chmod 1777 /tmp
ip link set lo up
for module in virtio_mmio netfs fscache 9pnet 9pnet_virtio 9p; do
    [ ! -e "/modules/$module.ko" ] || insmod "/modules/$module.ko"
done
options=trans=virtio,version=9p2000.L,msize=512000
busybox mount -t 9p -o "ro,cache=loose,$options" checkout /mnt/checkout
busybox mount -t 9p -o "$options" run /mnt/run
# While all here wait for the host, the clock leaps to where the next one wakes up: so nothing is read from it later.
mkdir /ztop /ztop/tests
cd /mnt/checkout && cp -a protocol ztopd ztop_client /ztop && cp -a tests/pmu /ztop/tests
chmod -R a+rX /ztop
cd /
# shellcheck disable=SC1091
. /mnt/run/command >/mnt/run/output 2>/mnt/run/errors
echo $? >/mnt/run/status
poweroff -f
