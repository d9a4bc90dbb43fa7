# SPDX-License-Identifier: GPL-2.0-or-later
# A task that nothing wakes sits in a function that the third version replaces; then it is woken.
# The file system that it wants to write to is frozen.
mkdir -p /run/spare
mount /dev/vdb /run/spare
fsfreeze --freeze /run/spare
mkdir /run/spare/new &
sleeper=$!
until_true 20 grep -q 'D (disk sleep)' /proc/$sleeper/status
dpkg -i /story/1-3.deb >/run/dpkg 2>&1 &
installs=$!
until_true 60 test -e /sys/kernel/livepatch/@MODULE@_1_3/transition
sleep 3
show kmend status
show kmend transition
wait $installs
cat /run/dpkg
show kmend status
show kpatch list
fsfreeze --unfreeze /run/spare
wait $sleeper
ls -d /run/spare/new
show kmend load --all
show kmend status
show kpatch list
umount /run/spare
# A restart of the service is no shutdown: 1-3 stays on trial, which the crash that follows shows.
show systemctl restart kpatch.service
grep -A1 '"attempt"' /var/lib/kmend/breaker.json
