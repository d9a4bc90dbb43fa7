# SPDX-License-Identifier: GPL-2.0-or-later
# The host is subscribed: kmend and the empty version.
show dpkg -i /story/kmend.deb
show dpkg -i /story/0-0.deb
show kpatch version
show kmend status
show kmend list
