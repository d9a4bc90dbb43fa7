#!/bin/busybox sh
# SPDX-License-Identifier: GPL-2.0-or-later
for name in plain _odd; do
	hostname $name 2>&1
	hostname
done
