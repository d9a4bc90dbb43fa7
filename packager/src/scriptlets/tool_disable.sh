# SPDX-License-Identifier: GPL-2.0-or-later
# Where another kpatch takes this one's place, its unit is as this one's was; what is loaded stays loaded.
if command -v systemctl >/dev/null 2>&1; then
	systemctl --no-reload disable kmend-check.timer || :
	[ ! -d /run/systemd/system ] || systemctl stop kmend-check.timer || :
	read -r before 2>/dev/null </run/kmend-unit-before || before=none
	case "$before" in
	enabled*) systemctl --no-reload enable kpatch.service || : ;;
	*) systemctl --no-reload disable kpatch.service || : ;;
	esac
fi
rm -f /run/kmend-unit-before
