#!/bin/busybox sh
# SPDX-License-Identifier: GPL-2.0-or-later
# Whether the module is there; and once it has gone, whether it was the new code that deregistered the function.
if [ -d /sys/module/rds ]; then
	echo "rds: loaded"
elif dmesg | grep -q 'rds: patched exit'; then
	echo "rds: gone, after the new code has run"
else
	echo "rds: gone"
fi
