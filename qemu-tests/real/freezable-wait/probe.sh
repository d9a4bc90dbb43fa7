#!/bin/busybox sh
# SPDX-License-Identifier: GPL-2.0-or-later
# Freezes all processes for a moment, as a suspend does, and looks whether one that waits for its child ran meanwhile.
# Nearly every process here sleeps in the function that is replaced: the transition has to get them out of it.
power=/sys/power
[ ! -e /sys/module/suspend/parameters/pm_test_delay ] || echo 1 >/sys/module/suspend/parameters/pm_test_delay
sh -c 'sleep 1000; true' 2>/dev/null &
waiter=$!
switches() {
	grep '^voluntary_ctxt_switches' /proc/$waiter/status
}
sleep 1
before=$(switches)
echo freezer >$power/pm_test
echo freeze >$power/state
[ "$(switches)" = "$before" ] && echo 'left asleep' || echo woken
echo none >$power/pm_test
killall sleep
