# SPDX-License-Identifier: GPL-2.0-or-later
# For the next boots.
$kpatch install -k "$kernel" "/usr/lib/kpatch/$kernel/$file" ||
	echo "WARNING: $file could not be installed: it may not be loaded at the next boot"
if [ -e "$copy" ] && command -v chcon >/dev/null 2>&1; then
	chcon -t modules_object_t "$copy" 2>/dev/null || :
fi
sync

# A container or a chroot has no kernel of its own: the one that runs is the host's.
own_kernel() {
	[ ! -e /.dockerenv ] && [ ! -e /run/.containerenv ] && [ -e /proc/self ] || return 1
	if command -v systemd-detect-virt >/dev/null 2>&1; then
		! systemd-detect-virt --quiet --container || return 1
	elif [ -r /proc/1/environ ] && tr '\0' '\n' </proc/1/environ | grep -q '^container='; then
		return 1
	fi
	[ ! -e /proc/1/root ] || [ / -ef /proc/1/root ]
}

# Load it now only if its kernel is running, and no in-place upgrade is under way.
if [ "$(uname -r)" = "$kernel" ] && [ -z "$LEAPP_IPU_IN_PROGRESS" ] && own_kernel; then
	# Where there was no room for the copy, there is the package's file.
	[ -e "$copy" ] || copy="/usr/lib/kpatch/$kernel/$file"
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
