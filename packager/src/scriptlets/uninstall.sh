# SPDX-License-Identifier: GPL-2.0-or-later
# What is loaded stays loaded.
if [ -x $kpatch ]; then
	$kpatch uninstall -k "$kernel" "$file" ||
		echo "WARNING: $copy could not be taken away: it would be loaded at the next boot"
else
	rm -f "$copy"
fi
sync
