# SPDX-License-Identifier: GPL-2.0-or-later
# After a reboot the service has loaded the newest, once.
show systemctl is-active kpatch.service
show kpatch list
echo "loads: $(journalctl -q -b -u kpatch.service -o cat | grep -c 'loading patch module')"
show kmend status
echo "marked: $(sed 's/.*fixed=//' /proc/cmdline)"
