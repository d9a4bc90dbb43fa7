#!/bin/busybox sh
# SPDX-License-Identifier: GPL-2.0-or-later
# After a 4 the handler keeps quiet: that is what its static local remembers.
drop() {
	before=$(dmesg | grep -c 'drop_caches: [0-9]')
	echo "$1" >/proc/sys/vm/drop_caches
	said=$(dmesg | grep 'drop_caches: [0-9]' | tail -n "+$((before + 1))" | sed 's/^.*\] //; s/ ([0-9]*)//')
	echo "${said:-nothing said}"
}
[ "$1" != before ] || drop 4
drop 1
