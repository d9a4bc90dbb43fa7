# SPDX-License-Identifier: GPL-2.0-or-later
# kpatch.enable=0 on the kernel's command line leaves the live patches out.
# boot: kpatch.enable=0
show systemctl is-active kpatch.service
show kpatch list
show kmend status
