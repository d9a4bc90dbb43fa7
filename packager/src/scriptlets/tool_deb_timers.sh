# SPDX-License-Identifier: GPL-2.0-or-later
# The timers need kmend; a service that one of them has started goes on to its end. Which of them were enabled is written
# down for a kmend that comes back.
if command -v systemctl >/dev/null 2>&1; then
	for timer in kmend-check.timer kmend-subscribe.timer; do
		! systemctl is-enabled --quiet "$timer" 2>/dev/null || echo "$timer"
	done >/var/lib/kmend/timers || :
	systemctl --no-reload disable kmend-check.timer kmend-subscribe.timer || :
	[ ! -d /run/systemd/system ] || systemctl stop kmend-check.timer kmend-subscribe.timer || :
fi
