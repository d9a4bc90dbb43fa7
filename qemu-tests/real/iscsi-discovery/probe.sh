#!/bin/busybox sh
# SPDX-License-Identifier: GPL-2.0-or-later
. /trace.sh
target=/sys/kernel/config/target
[ -d $target ] || mount -t configfs configfs /sys/kernel/config
[ -d $target/iscsi ] || mkdir $target/iscsi
file=$target/iscsi/discovery_auth/enforce_discovery_auth
switch() {
	echo 1 >$file
	on=$(cat $file)
	echo 0 >$file
	off=$(cat $file)
}
entered kmend_iscsi iscsi_disc_enforce_discovery_auth_store switch
echo "enforced: $on, then $off"
rmdir $target/iscsi
