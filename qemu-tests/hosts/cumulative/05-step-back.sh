# SPDX-License-Identifier: GPL-2.0-or-later
# A step back to an older version without a reboot, and forth again. The package alone warns.
show dpkg -i /story/1-1.deb
echo "marked: $(sed 's/.*fixed=//' /proc/cmdline)"
show kmend step-back
echo "marked: $(sed 's/.*fixed=//' /proc/cmdline)"
show kpatch list
show dpkg -i /story/1-2.deb
until_true 60 sh -c '[ "$(cat /sys/kernel/livepatch/@MODULE@_1_2/transition)" = 0 ]'
echo "marked: $(sed 's/.*fixed=//' /proc/cmdline)"
