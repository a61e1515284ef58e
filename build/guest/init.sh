#!/bin/busybox sh
# Process 1 of the guest: mounts what a system has, runs pytest on the console and sends its exit code out on the second serial port.
# The host's side (build/guest/run.py) counts a guest that ends without a code as failed, so nothing here needs to be caught.
export PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8
export CI=1 # a component that is missing here is a failure
modules='8021q bridge dummy wireguard vrf ipvlan veth vxlan tun sctp'

busybox mount -t proc proc /proc
busybox mount -t devtmpfs devtmpfs /dev
busybox mount -t sysfs sysfs /sys
busybox mount -t cgroup2 cgroup2 /sys/fs/cgroup
busybox mount -t tmpfs tmpfs /run
busybox mount -t tmpfs tmpfs /tmp
busybox mount -t ext4 /dev/nvme0n2 /mnt
busybox mkdir -p /dev/pts /dev/shm
busybox mount -t devpts devpts /dev/pts
busybox mount -t tmpfs tmpfs /dev/shm
busybox ln -s /proc/self/fd /dev/fd
for stream in stdin:0 stdout:1 stderr:2; do busybox ln -s "/proc/self/fd/${stream#*:}" "/dev/${stream%:*}"; done
busybox stty -onlcr -F /dev/ttyS0
busybox hostname guest
ip link set lo up

. /mnt/.guest-start # sets COLUMNS, checkout and the arguments of pytest
busybox mkdir -p "$checkout"
busybox mount --move /mnt "$checkout"
cd "$checkout" || busybox poweroff -f

echo "guest: Linux $(busybox uname -r), $(busybox nproc) CPUs, modules $modules"
for module in $modules; do modprobe "$module"; done
# A session of its own on the console: without a controlling terminal, no job control and no width.
.venv/bin/python -m pytest -p no:cacheprovider --color="$color" "$@" </dev/null
echo "exit $?" >/dev/ttyS1
busybox poweroff -f
