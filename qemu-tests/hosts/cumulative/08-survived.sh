# SPDX-License-Identifier: GPL-2.0-or-later
# The host is up again, with the last good version.
show systemctl is-active kpatch.service
show kpatch list
show kmend status
show kmend load @MODULE@_1_4
echo "marked: $(sed 's/.*fixed=//' /proc/cmdline)"
