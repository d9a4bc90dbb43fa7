#!/bin/busybox sh
# SPDX-License-Identifier: GPL-2.0-or-later
# The kernel's sleep states, which the fix is about, and a processor's state, which a namesake shows as it is.
cat /sys/power/state
echo "processor: $(cat /sys/devices/system/cpu/cpu0/hotplug/state)"
