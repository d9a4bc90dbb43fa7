#!/bin/busybox sh
# SPDX-License-Identifier: GPL-2.0-or-later
# A small file system in memory; the tracepoint in the patched function is switched on while it runs.
events=/sys/kernel/tracing/events/ext4
mkdir -p /disk
[ -e /image ] || { dd if=/dev/zero of=/image bs=1M count=8 2>/dev/null; mke2fs -F /image >/dev/null; }
mount -o loop -t ext4 /image /disk || echo "not mounted"
echo 1 >$events/ext4_unlink_enter/enable
echo 1 >$events/ext4_unlink_exit/enable
for name in keep lose; do
	echo x >/disk/$name
	rm /disk/$name 2>&1 | sed 's/.*: //'
	[ -e /disk/$name ] && echo "$name: there" || echo "$name: gone"
done
echo 0 >$events/ext4_unlink_enter/enable
echo 0 >$events/ext4_unlink_exit/enable
umount /disk
