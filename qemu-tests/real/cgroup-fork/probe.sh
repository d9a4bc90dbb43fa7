#!/bin/busybox sh
# SPDX-License-Identifier: GPL-2.0-or-later
. /trace.sh
child() {
	said=$(echo done)
}
entered kmend_cgroup cgroup_can_fork child
echo "child: $said"
