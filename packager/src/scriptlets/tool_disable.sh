# SPDX-License-Identifier: GPL-2.0-or-later
! command -v systemctl >/dev/null 2>&1 || systemctl --no-reload disable kpatch.service || :
