#!/bin/busybox sh
# SPDX-License-Identifier: GPL-2.0-or-later
# How often a bridge tells of VLANs when its default VLAN becomes another one: of the new one, and of the old one that
# is gone.
tracing=/sys/kernel/tracing
ip link add kbr type bridge
echo br_vlan_notify >$tracing/set_ftrace_filter
echo >$tracing/trace
echo function >$tracing/current_tracer
echo 5 >/sys/class/net/kbr/bridge/default_pvid
hits=$(grep -c 'br_vlan_notify <-' $tracing/trace)
echo nop >$tracing/current_tracer
echo >$tracing/set_ftrace_filter
ip link del kbr
echo "told $hits"
