# SPDX-License-Identifier: GPL-2.0-or-later
# kpatch.enable=0 on the kernel's command line leaves the live patches out.
# boot: kpatch.enable=0
show systemctl is-active kpatch.service
show kpatch list
show kmend status
# What `kmend subscribe auto` enables, where apt is there.
show systemctl enable --now kmend-subscribe.timer
show systemctl list-timers --all --no-legend kmend-subscribe.timer kmend-check.timer
show systemd-analyze verify --man=no kmend-subscribe.service kmend-subscribe.timer kmend-check.service kmend-check.timer
show systemctl start kmend-check.service
show systemctl disable --now kmend-subscribe.timer
