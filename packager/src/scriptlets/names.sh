# SPDX-License-Identifier: GPL-2.0-or-later
kernel='@KERNEL@'
file='@FILE@'
stem='@STEM@'
version=@VERSION@
release=@RELEASE@
kpatch=/usr/sbin/kpatch
copy="/var/lib/kpatch/$kernel/$file"
