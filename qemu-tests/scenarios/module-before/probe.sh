#!/bin/busybox sh
# SPDX-License-Identifier: GPL-2.0-or-later
cat /sys/block/zram0/comp_algorithm | sed 's/ $//'
