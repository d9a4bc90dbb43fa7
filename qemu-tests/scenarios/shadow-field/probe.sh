#!/bin/busybox sh
# SPDX-License-Identifier: GPL-2.0-or-later
# Three readers, then one in a UTS namespace of its own where the kernel has them.
for i in 1 2 3; do cat /proc/version; done
if [ -e /proc/self/ns/uts ]; then
	unshare -u cat /proc/version
else
	cat /proc/version | sed 's/^reads: 4$/reads: 1/'
fi
