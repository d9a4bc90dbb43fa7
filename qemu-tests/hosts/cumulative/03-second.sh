# SPDX-License-Identifier: GPL-2.0-or-later
# The second one takes the first one's place, and nothing is unpatched in between.
hammer
show dpkg -i /story/1-2.deb
until_true 60 sh -c '[ "$(cat /sys/kernel/livepatch/@MODULE@_1_2/transition)" = 0 ]'
hammered
show kpatch list
show kmend status
show kmend cve CVE-2026-0002
again
