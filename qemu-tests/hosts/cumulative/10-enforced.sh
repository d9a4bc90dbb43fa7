# SPDX-License-Identifier: GPL-2.0-or-later
# A kernel that demands signatures takes neither an unsigned live patch nor one of a key that it does not know.
# boot: module.sig_enforce=1
# arch: x86_64
# kernel: Loading of .* is rejected
cat /sys/module/module/parameters/sig_enforce
show kmend info /story/unsigned.ko
show kmend load /story/unsigned.ko
show kmend load @MODULE@_1_3
show kpatch list
show kmend status
