# SPDX-License-Identifier: GPL-2.0-or-later
# The unit stays as it was under another kpatch, whose scripts disable it when it goes. Where there was none, live patches
# that are there already are loaded at boot; `kpatch install` enables the unit for those to come.
read -r before 2>/dev/null </run/kmend-unit-before || before=
rm -f /run/kmend-unit-before
if command -v systemctl >/dev/null 2>&1; then
	for module in /var/lib/kpatch/*/*.ko /usr/lib/kpatch/*/*.ko; do
		[ -z "$before" ] && [ -e "$module" ] && before=enabled
	done
	case "$before" in
	enabled*)
		systemctl --no-reload unmask kpatch.service || :
		systemctl --no-reload enable kpatch.service || :
		;;
	# Debian's kpatch masks its unit when it goes.
	disabled*) systemctl --no-reload unmask kpatch.service || : ;;
	esac
	systemctl --no-reload enable kmend-check.timer || :
	if [ -d /run/systemd/system ]; then
		systemctl daemon-reload || :
		systemctl --no-block start kmend-check.timer || :
		case "$before" in
		# It was stopped with the other kpatch; what is in force stays so.
		enabled*) systemctl --no-block start kpatch.service || : ;;
		esac
	fi
fi
