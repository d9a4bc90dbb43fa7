# SPDX-License-Identifier: GPL-2.0-or-later
# Runs a command where each host's root is mounted: enter.sh FOLDER COMMAND… . A root is this machine's own file system with a layer
# over it, so that apt, dnf and Python are there and nothing of them is changed. In a mount namespace: all goes with the command.
set -e
dir=$1
shift
for host in "$dir"/hosts/*; do
	. "$host/settings"
	root=$host/root
	mkdir -p "$host/upper" "$host/work" "$root"
	mount -t overlay overlay -o "lowerdir=/,upperdir=$host/upper,workdir=$host/work" "$root"
	mount --rbind /dev "$root/dev"
	mount --rbind /proc "$root/proc"
	mount --bind "$system/proc/sys/kernel/random/boot_id" "$root/proc/sys/kernel/random/boot_id"
	for folder in "$dir/site" "$system"; do
		mkdir -p "$root$folder"
		mount --bind "$folder" "$root$folder"
	done
	[ ! -e "$host/made" ] || continue
	touch "$host/made"
	rm -rf "$root"/etc/apt/sources.list "$root"/etc/apt/sources.list.d "$root"/etc/yum.repos.d "$root"/usr/sbin/kmend
	rm -rf "$root"/var/lib/apt/lists "$root"/var/lib/rpm "$root"/var/lib/dnf "$root"/var/cache/dnf "$root"/etc/ansible "$root/root/.rpmdb"
	mkdir -p "$root/etc/apt/sources.list.d" "$root/var/lib/apt/lists/partial" "$root/etc/yum.repos.d" "$root/var/lib/rpm"
	case "$family" in
	Apt) rm -f "$root"/usr/bin/dnf* ;;
	Dnf)
		rm -f "$root"/usr/bin/apt* "$root"/etc/debian_version "$root"/etc/os-release "$root"/usr/lib/os-release
		printf 'ID="rocky"\nNAME="Rocky Linux"\nVERSION_ID="9.3"\nID_LIKE="rhel centos fedora"\n' >"$root/etc/os-release"
		echo 'Rocky Linux release 9.3 (Blue Onyx)' >"$root/etc/redhat-release"
		;;
	esac
done
exec "$@"
