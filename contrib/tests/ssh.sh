#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# What Ansible takes for ssh: the last word is run in the root of the host that is named before it. Its kmend has a played kernel.
for word; do
	host=$last
	last=$word
done
case "$last" in
ControlPersist | stop | check | exit) exit 0 ;;
esac
folder=DIR/hosts/$host
if [ -e "$folder/down" ]; then
	echo "ssh: connect to host $host: no route" >&2
	exit 255
fi
. "$folder/settings"
PATH=$system/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
export PATH KMEND_ROOT="$system" SYSTEMCTL_LOG="$system/systemctl.log" HOME=/root LC_ALL=C.UTF-8
exec /usr/sbin/chroot "$folder/root" /bin/sh -c "$last"
