# SPDX-License-Identifier: GPL-2.0-or-later
# Live patches that are there already are loaded at boot; `kpatch install` enables the unit for those to come.
for module in /var/lib/kpatch/*/*.ko; do
	if [ -e "$module" ] && command -v systemctl >/dev/null 2>&1; then
		systemctl --no-reload unmask kpatch.service || :
		systemctl --no-reload enable kpatch.service || :
	fi
	break
done
