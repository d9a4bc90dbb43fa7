#!/bin/busybox sh
# SPDX-License-Identifier: GPL-2.0-or-later
# Descriptor 9 of this shell, as two functions show it; descriptor 1 is a file that something was written to.
echo nine >/tmp/nine
exec 9</tmp/nine
echo "descriptor 9 is $(readlink /proc/$$/fd/9)"
echo "$(grep '^pos:' /proc/$$/fdinfo/9)"
