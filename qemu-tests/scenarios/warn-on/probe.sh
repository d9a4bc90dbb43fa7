#!/bin/busybox sh
# SPDX-License-Identifier: GPL-2.0-or-later
warnings=$(cat /sys/kernel/warn_count)
for address in 127.0.9.8 127.0.9.9; do
	if ip addr add $address/32 dev lo 2>/tmp/why; then
		echo "$address taken"
		ip addr del $address/32 dev lo
	else
		echo "$address refused"
	fi
done
echo "$(($(cat /sys/kernel/warn_count) - warnings)) warnings"
[ "$1" != after ] || dmesg | grep 'WARNING: ' | tail -n 1 | grep -o 'net/ipv4/devinet.c'
