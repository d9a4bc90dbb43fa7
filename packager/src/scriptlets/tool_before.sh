# SPDX-License-Identifier: GPL-2.0-or-later
# The unit of another kpatch, whose place this package takes or which takes its place: it shall stay as it is now.
if [ -e /usr/lib/systemd/system/kpatch.service ] || [ -e /lib/systemd/system/kpatch.service ]; then
	if command -v systemctl >/dev/null 2>&1; then
		mkdir -p /run
		systemctl is-enabled kpatch.service >/run/kmend-unit-before 2>/dev/null || :
	fi
fi
