#!/bin/busybox sh
# SPDX-License-Identifier: GPL-2.0-or-later
cat /proc/version
cat /proc/sys/kernel/panic
hostname _odd 2>&1
true
