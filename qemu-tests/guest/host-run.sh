#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# Runs a host's story from where the last boot left it. A stage is a script; what it prints is told to the outside, which
# judges. A stage that ends with `again` goes on in the next boot.
export PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C
cd /story || exit 1
facts=/dev/$(cat facts)
stty -F "$facts" raw -echo
exec 3>"$facts" </dev/null

say() {
	kind=$1
	shift
	printf 'KMEND\t%s\t%s\t-\t%s\n' "$kind" "$stage" "$*" >&3
}

# What stages call.
cat >/run/stage.sh <<'EOF'
# Boots the host again; the next stage runs then.
again() { touch /run/again; }
# show COMMAND…: the command, what it prints, and its exit code where that is not 0.
show() {
	echo "\$ $*"
	"$@" 2>&1
	code=$?
	[ $code = 0 ] || echo "exit code $code"
	return 0
}
# until_true SECONDS COMMAND…
until_true() {
	left=$(($1 * 10))
	shift
	until "$@" >/dev/null 2>&1; do
		left=$((left - 1))
		[ $left -gt 0 ] || { echo "waited in vain for: $*"; return 1; }
		sleep 0.1
	done
}
# Reads the kernel's command line, which the fixes mark, as often as it can until `hammered`; tells then which marks it
# saw, in order, and whether it saw any of them a hundred times.
hammer() {
	rm -f /run/stop
	(
		last='' reads=0
		while [ ! -e /run/stop ]; do
			IFS= read -r line </proc/cmdline
			case $line in *fixed=*) mark=${line##*fixed=} ;; *) mark=none ;; esac
			[ "$mark" = "$last" ] || echo "hammer: $mark"
			last=$mark reads=$((reads + 1))
		done
		[ $reads -lt 100 ] || reads='a hundred or more'
		echo "hammer: reads: $reads"
	) >/run/hammer &
	hammer=$!
	until_true 10 test -s /run/hammer
}
hammered() {
	touch /run/stop
	wait $hammer
	cat /run/hammer
}
EOF

# Which of the starts this is.
boot=$(sed 's/.*kmend\.boot=\([0-9]*\).*/\1/' /proc/cmdline)
next=$(cat next 2>/dev/null || echo 1)
while :; do
	stage=$(sed -n "${next}p" order)
	if [ -z "$stage" ] || [ "$(sed -n "${next}p" boots)" != "$boot" ]; then
		say done
		sync
		systemctl poweroff
		exit 0
	fi
	next=$((next + 1))
	# Written first: a stage may end with the kernel's death.
	echo $next >next.new && mv next.new next && sync
	say begin
	echo "<4>kmend-test: begin $stage" >/dev/kmsg
	sh -c '. /run/stage.sh; . "/story/$0"' "$stage" >/run/said 2>&1 &
	pid=$!
	# Line by line, while it runs: what is told before the kernel dies is heard.
	tail -n +1 -f --pid=$pid /run/said | while IFS= read -r line; do say out "$line"; done
	wait $pid
	echo "<4>kmend-test: end $stage" >/dev/kmsg
	say end
	if [ -e /run/again ]; then
		sync
		systemctl reboot
		exit 0
	fi
done
