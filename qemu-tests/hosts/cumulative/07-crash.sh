# SPDX-License-Identifier: GPL-2.0-or-later
# The fourth version kills the kernel when it is loaded.
# kernel: BUG: |Oops|Kernel panic|Call Trace|[Uu]nable to handle|Unrecoverable
sync
show dpkg -i /story/1-4.deb
