#!/bin/busybox sh
# SPDX-License-Identifier: GPL-2.0-or-later
. /trace.sh
# The far end of a port announces the multicast groups of its own address to the bridge; then the port goes away.
come_and_go() {
	ip link add kbr type bridge
	ip link set kbr up
	ip link add kport type veth
	brctl addif kbr kport
	ip link set kport up
	for far in /sys/class/net/veth*; do ip link set "${far##*/}" up; done
	sleep 4
	ip link del kport
	ports=$(ls /sys/class/net/kbr/brif | wc -l)
	ip link del kbr
}
entered kmend_bridge __br_multicast_del_pg come_and_go 2>&1
echo "ports: $ports"
