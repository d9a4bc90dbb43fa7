#!/bin/busybox sh
# SPDX-License-Identifier: GPL-2.0-or-later
# 2^64 - 1 nanoseconds are -1 to the kernel. The first namespace cannot be changed; a wrong number is an error before that.
echo "monotonic 0 18446744073709551615" 2>&1 >/proc/self/timens_offsets | sed 's/.*: //'
echo "monotonic 0 1" 2>&1 >/proc/self/timens_offsets | sed 's/.*: //'
