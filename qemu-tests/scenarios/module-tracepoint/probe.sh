#!/bin/busybox sh
# SPDX-License-Identifier: GPL-2.0-or-later
# A small file system in memory; the tracepoints in the patched function are switched on while it runs.
tracing=/sys/kernel/tracing
events=$tracing/events/ext4
told() { echo "traced $(grep -c 'ext4_unlink_enter: ' $tracing/trace) enter, $(grep -c 'ext4_unlink_exit: ' $tracing/trace) exit"; }
echo >$tracing/trace
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
told
echo 0 >$events/ext4_unlink_enter/enable
echo 0 >$events/ext4_unlink_exit/enable
echo >$tracing/trace
touch /disk/other && rm /disk/other
told
umount /disk
