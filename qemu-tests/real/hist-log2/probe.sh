#!/bin/busybox sh
# SPDX-License-Identifier: GPL-2.0-or-later
# Two events with the sizes 17 and 2^64 - 1, counted by the logarithm of the size.
cd /sys/kernel/tracing || exit 1
echo 'p:kmend/small cmdline_proc_show size=\17:u64' >kprobe_events
echo 'p:kmend/large cmdline_proc_show size=\-1:u64' >>kprobe_events
for event in small large; do
	echo 'hist:keys=size.log2' >events/kmend/$event/trigger
done
for event in small large; do echo 1 >events/kmend/$event/enable; done
cat /proc/cmdline >/dev/null
for event in small large; do
	echo 0 >events/kmend/$event/enable
	grep hitcount events/kmend/$event/hist
	echo '!hist:keys=size.log2' >events/kmend/$event/trigger
done | sort
echo >kprobe_events
