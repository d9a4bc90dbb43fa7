# SPDX-License-Identifier: GPL-2.0-or-later
# The unit of another kpatch, whose place this package takes or which takes its place: it shall stay as it is now.
if [ -e /usr/lib/systemd/system/kpatch.service ] || [ -e /lib/systemd/system/kpatch.service ]; then
	if command -v systemctl >/dev/null 2>&1; then
		mkdir -p /run
		systemctl is-enabled kpatch.service >/run/kmend-unit-before 2>/dev/null || :
	fi
elif [ -e /var/lib/systemd/deb-systemd-helper-masked/kpatch.service ]; then
	# Debian's kpatch was removed before this one came, as apt does it. It masks its unit then, and leaves the links that
	# enable it.
	state=disabled
	for link in /etc/systemd/system/*.wants/kpatch.service; do
		[ ! -h "$link" ] || state=enabled
	done
	mkdir -p /run
	echo "$state" >/run/kmend-unit-before || :
fi
