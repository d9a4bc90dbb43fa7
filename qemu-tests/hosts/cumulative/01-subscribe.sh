# SPDX-License-Identifier: GPL-2.0-or-later
# The host is subscribed: kmend and the empty version.
show dpkg -i /story/kmend.deb
show dpkg -i /story/0-0.deb
show kpatch version
show kmend status
show kmend list
# What a check of the repositories would note: the empty version is all there is.
printf '{"checked":"%s","kernels":{"%s":{"version":"0-0"}}}' "$(date -u +%Y-%m-%d)" '@RELEASE@' >/var/lib/kmend/available.json
show kmend status
rm /var/lib/kmend/available.json
