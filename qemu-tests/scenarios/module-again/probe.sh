#!/bin/busybox sh
# SPDX-License-Identifier: GPL-2.0-or-later
# The module makes this interface while it is being loaded.
cat /sys/class/net/dummy0/mtu
