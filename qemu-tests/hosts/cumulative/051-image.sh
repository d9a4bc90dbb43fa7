# SPDX-License-Identifier: GPL-2.0-or-later
# An image brings the live patch in a read-only /usr, and /var is empty; then another kpatch comes and goes.
kmend unload --all >/dev/null
mount -t tmpfs tmpfs /var/lib/kpatch
mount -t tmpfs tmpfs /var/lib/kmend
mount --bind /usr /usr
mount -o remount,bind,ro /usr
touch /usr/new 2>/dev/null || echo "/usr is read-only"
show kmend status
show systemctl restart kpatch.service
show kpatch list
show kmend status
umount -l /usr /var/lib/kpatch /var/lib/kmend
echo "marked: $(sed 's/.*fixed=//' /proc/cmdline)"

# What Debian's kpatch does with its unit, and no more.
mkdir -p /run/kpatch/DEBIAN /run/kpatch/usr/sbin /run/kpatch/usr/lib/systemd/system
printf '#!/bin/sh\n' >/run/kpatch/usr/sbin/kpatch
chmod 755 /run/kpatch/usr/sbin/kpatch
printf '[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=/bin/true\n[Install]\nWantedBy=multi-user.target\n' \
	>/run/kpatch/usr/lib/systemd/system/kpatch.service
printf 'Package: kpatch\nVersion: 0.9.11-1\nArchitecture: all\nMaintainer: -\nConflicts: kmend\nReplaces: kmend\nDescription: -\n' \
	>/run/kpatch/DEBIAN/control
printf '#!/bin/sh\nsystemctl stop kpatch.service\n' >/run/kpatch/DEBIAN/prerm
chmod 755 /run/kpatch/DEBIAN/prerm
dpkg-deb --root-owner-group --build /run/kpatch /run/kpatch.deb >/dev/null
show dpkg -i --force-architecture /run/kpatch.deb
show systemctl is-enabled kpatch.service
echo "marked: $(sed 's/.*fixed=//' /proc/cmdline)"
show dpkg -i /story/kmend.deb
show systemctl is-enabled kpatch.service
show systemctl is-enabled kmend-check.timer
show kpatch list
