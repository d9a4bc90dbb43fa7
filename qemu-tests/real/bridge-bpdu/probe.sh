#!/bin/busybox sh
# SPDX-License-Identifier: GPL-2.0-or-later
. /trace.sh
# A bridge that speaks the spanning tree protocol announces itself on its ports.
announce() {
	ip link add kbr type bridge
	echo 1 >/sys/class/net/kbr/bridge/stp_state
	brctl addif kbr dummy0
	ip link set dummy0 up
	ip link set kbr up
	sleep 3
	ip link set dummy0 down
	ip link del kbr
}
entered kmend_bpdu br_send_bpdu announce 2>&1
