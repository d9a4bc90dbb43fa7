# SPDX-License-Identifier: GPL-2.0-or-later
# The timers need kmend; a service that one of them has started goes on to its end.
if command -v systemctl >/dev/null 2>&1; then
	systemctl --no-reload disable kmend-check.timer kmend-subscribe.timer || :
	[ ! -d /run/systemd/system ] || systemctl stop kmend-check.timer kmend-subscribe.timer || :
fi
