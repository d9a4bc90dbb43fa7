#!/bin/busybox sh
# SPDX-License-Identifier: GPL-2.0-or-later
# The initramfs of a host: the modules that its disk needs, then its own init.
/bin/busybox --install -s /bin
export PATH=/bin
mount -t devtmpfs devtmpfs /dev
for module in $(cat /order); do insmod "/modules/$module.ko"; done
tries=0
until mount -t ext4 /dev/vda /root; do
	tries=$((tries + 1))
	[ $tries -lt 50 ] || exec sh
	usleep 100000
done
mount --move /dev /root/dev
exec switch_root /root /sbin/init
