#!/bin/busybox sh
# SPDX-License-Identifier: GPL-2.0-or-later
# PID 1 of the guest: mounts what probes look at, runs the scenarios, says that it is done.
/bin/busybox --install -s /bin
export PATH=/bin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
mount -t tracefs tracefs /sys/kernel/tracing
mount -t debugfs debugfs /sys/kernel/debug
mount -t tmpfs tmpfs /tmp
facts=/dev/$(cat /facts)
stty -F "$facts" raw -echo
exec 3>"$facts"
# The default of two minutes is longer than a scenario takes.
echo 20 >/proc/sys/kernel/hung_task_timeout_secs

. /lib.sh
say up - - "$(uname -r)"
for scenario in $(cat /order); do
	( . "/s/$scenario/run.sh" )
	if ! clean; then
		say dirty "$scenario" - "left a live patch loaded"
		break
	fi
done
say done - - "$(cat /proc/uptime)"
# The host ends the guest at that line; this is for a host that is gone.
sleep 30
poweroff -f
