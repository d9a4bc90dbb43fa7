# SPDX-License-Identifier: GPL-2.0-or-later
# What a scenario's steps are made of. Each one tells the host what it saw, on fd 3, a line a fact:
# KMEND <kind> <scenario> <step> <text>, with tabs between. The host judges.

LIVEPATCH=/sys/kernel/livepatch

say() {
	kind=$1 scenario=$2 step=$3
	shift 3
	printf 'KMEND\t%s\t%s\t%s\t%s\n' "$kind" "$scenario" "$step" "$*" >&3
}

# Sends each line of stdin as a fact of its own.
say_lines() {
	while IFS= read -r line; do say "$1" "$NAME" "$2" "$line"; done
}

begin() {
	NAME=$1
	STATE=/tmp/state-$1
	export NAME STATE
	mkdir -p "$STATE"
	cd "/s/$NAME" || exit 1
	say begin "$NAME" - ""
	echo "<4>kmend-test: begin $NAME" >/dev/kmsg
}

end() {
	echo "<4>kmend-test: end $NAME" >/dev/kmsg
	say end "$NAME" - ""
}

ok() { say ok "$NAME" "$1" ""; }

# Ends the scenario: what comes after a failed step proves nothing.
fail() {
	step=$1
	shift
	say fail "$NAME" "$step" "$*"
	end
	exit 1
}

# step, file, module, parameters
modprobe_one() {
	step=$1 file=$2 module=$3
	shift 3
	[ -d "/sys/module/$module" ] && return 0
	out=$(insmod "/modules/$file" "$@" 2>&1) || fail "$step" "insmod $module: $out"
}

rmmod_one() {
	tries=0
	until out=$(rmmod "$2" 2>&1); do
		tries=$((tries + 1))
		[ $tries -lt 50 ] || fail "$1" "rmmod $2: $out"
		usleep 100000
	done
	[ ! -d "/sys/module/$2" ] || fail "$1" "rmmod $2: /sys/module/$2 is still there"
	ok "$1"
}

# step, phase
observe() {
	timeout 60 sh ./probe.sh "$2" </dev/null >/tmp/seen 2>&1
	code=$?
	say_lines out "$1" </tmp/seen
	[ $code = 0 ] || fail "$1" "probe.sh $2 ended with code $code"
	ok "$1"
}

# step, module
load() {
	out=$(insmod "/s/$NAME/$2.ko" 2>&1) || fail "$1" "insmod $2.ko: $out: $(dmesg | tail -n 3)"
	settle "$1" "$2" 1
	for f in "$LIVEPATCH/$2"/*/*,*; do
		[ -d "$f" ] && echo "${f#$LIVEPATCH/$2/}"
	done | say_lines list "$1"
	ok "$1"
}

# step, module: tells what insmod and the kernel say to it
load_refused() {
	echo "<4>kmend-test: $2 is to be refused" >/dev/kmsg
	out=$(insmod "/s/$NAME/$2.ko" 2>&1) && fail "$1" "$2 was loaded, and should have been refused"
	{
		echo "$out"
		dmesg | sed -n "/kmend-test: $2 is to be refused/,\$p"
	} | say_lines out "$1"
	[ ! -d "$LIVEPATCH/$2" ] || fail "$1" "$2 was refused, and is in $LIVEPATCH"
	[ ! -d "/sys/module/$2" ] || fail "$1" "$2 was refused, and is in /sys/module"
	ok "$1"
}

disable() {
	echo 0 >"$LIVEPATCH/$2/enabled" || fail "$1" "$LIVEPATCH/$2/enabled does not take 0"
	settle "$1" "$2" 0
	ok "$1"
}

# A disabled live patch loses its folder once its transition is over.
settle() {
	tries=0
	while [ $tries -lt 600 ]; do
		if [ ! -d "$LIVEPATCH/$2" ]; then
			[ "$3" = 0 ] && return 0
			fail "$1" "$2 was loaded and is not in $LIVEPATCH"
		else
			enabled=$(cat "$LIVEPATCH/$2/enabled" 2>/dev/null)
			transition=$(cat "$LIVEPATCH/$2/transition" 2>/dev/null)
			[ "$3" = 1 ] && [ "$enabled" = 1 ] && [ "$transition" = 0 ] && return 0
		fi
		tries=$((tries + 1))
		usleep 100000
	done
	fail "$1" "$2 did not settle in 60 s: enabled=$enabled transition=$transition, waiting for: $(unsettled "$3")"
}

# Names of the tasks that have not reached state $1.
unsettled() {
	for t in /proc/[0-9]*/task/[0-9]*; do
		state=$(cat "$t/patch_state" 2>/dev/null)
		[ -n "$state" ] && [ "$state" != "$1" ] && echo "$(cat "$t/comm")[$state]"
	done | tr '\n' ' '
}

replaced() {
	tries=0
	while [ -d "$LIVEPATCH/$2" ]; do
		tries=$((tries + 1))
		[ $tries -lt 600 ] || fail "$1" "$2 is still in $LIVEPATCH 60 s after its replacement settled"
		usleep 100000
	done
	ok "$1"
}

# For the next scenario: no live patch may be left. Fails where one cannot be got rid of.
clean() {
	for patch in "$LIVEPATCH"/*; do
		[ -d "$patch" ] || continue
		echo 0 >"$patch/enabled" 2>/dev/null
	done
	tries=0
	while [ -n "$(ls $LIVEPATCH)" ]; do
		tries=$((tries + 1))
		[ $tries -lt 300 ] || return 1
		usleep 100000
	done
	for module in $(cat /live-patches); do
		[ ! -d "/sys/module/$module" ] || rmmod "$module" || return 1
	done
}
