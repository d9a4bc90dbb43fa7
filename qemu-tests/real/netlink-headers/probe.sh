#!/bin/busybox sh
# SPDX-License-Identifier: GPL-2.0-or-later
. /trace.sh
ask() {
	ip link show lo >/tmp/lo
}
entered kmend_netlink netlink_unicast ask
grep -q LOOPBACK /tmp/lo && echo 'lo: there'
