# SPDX-License-Identifier: GPL-2.0-or-later
# The timers that were enabled when kmend was to be removed.
if [ -e /var/lib/kmend/timers ] && command -v systemctl >/dev/null 2>&1; then
	while read -r timer; do
		systemctl --no-reload enable "$timer" || :
		[ ! -d /run/systemd/system ] || systemctl --no-block start "$timer" || :
	done </var/lib/kmend/timers
fi
rm -f /var/lib/kmend/timers
