# SPDX-License-Identifier: GPL-2.0-or-later
# For the next boots.
$kpatch install -k "$kernel" "/usr/lib/kpatch/$kernel/$file" ||
	echo "WARNING: $file could not be installed: it will not be loaded at the next boot"
if [ -e "$copy" ] && command -v chcon >/dev/null 2>&1; then
	chcon -t modules_object_t "$copy" 2>/dev/null || :
fi
sync

# For now: where its kernel is the one that runs, and not one that is left behind by an in-place upgrade.
if [ "$(uname -r)" = "$kernel" ] && [ -z "$LEAPP_IPU_IN_PROGRESS" ]; then
	newer=$($kpatch list 2>/dev/null | while read -r name state; do
		case "$name $state" in
		"${stem}"_*' [enabled]' | "${stem}"_*' [enabling...]') loaded=${name#"${stem}"_} ;;
		*) continue ;;
		esac
		case "$loaded" in
		*[!0-9_]* | _* | *_ | *_*_*) continue ;;
		*_*) ;;
		*) continue ;;
		esac
		if [ "${loaded%_*}" -gt "$version" ] ||
			{ [ "${loaded%_*}" -eq "$version" ] && [ "${loaded#*_}" -gt "$release" ]; }; then
			echo "$name"
			break
		fi
	done)
	if [ -n "$newer" ]; then
		echo "WARNING: $newer is loaded, and newer than the live patch that is being installed."
		echo "WARNING: You will have to reboot to load a downgraded kpatch-patch"
	else
		$kpatch load "$copy" || echo "WARNING: $file could not be loaded: the running kernel is not patched by it"
	fi
fi
