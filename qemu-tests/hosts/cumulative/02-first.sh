# SPDX-License-Identifier: GPL-2.0-or-later
# The first version comes by a package, and is in force without a reboot.
hammer
show dpkg -i /story/1-1.deb
until_true 60 sh -c '[ "$(cat /sys/kernel/livepatch/@MODULE@_1_1/transition)" = 0 ]'
hammered
show kmend status
show kpatch list
show kmend cve CVE-2026-0001 CVE-2026-0002 CVE-2020-0001 CVE-2026-9000 CVE-2026-7777
show kmend uname
show systemctl is-enabled kpatch.service
