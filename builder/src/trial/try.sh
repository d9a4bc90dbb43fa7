# SPDX-License-Identifier: GPL-2.0-or-later
# What the runs of `kmend-build try` are made of, beside lib.sh. Each step tells what it saw; the host judges.

# An instance of its own: the probe may trace as well.
TRACE=/sys/kernel/tracing/instances/kmend

# The most of a probe's output that is told, in bytes.
MOST=65536

# step, words
tell() {
	told=$1
	shift
	say told "$NAME" "$told" "$(echo "$*" | tr '\n' ' ')"
}

# step, file, kind: the lines of a file
tell_lines() {
	[ "$(wc -c <"$2")" -le $MOST ] || tell "$1" "cut $3"
	head -c $MOST "$2" | tr -d '\000' | awk -v head="KMEND\t$3\t$NAME\t$1\t" '{ print head $0 }' >&3
}

# step, modules: loads what is not there yet. One that cannot be loaded is told.
shipped() {
	step=$1
	shift
	for module; do
		[ -d "/sys/module/$module" ] && continue
		if out=$(insmod "/modules/$module.ko" 2>&1); then
			echo "$module" >>"$STATE/loaded"
		else
			echo "$module" >>"$STATE/failed"
			tell "$step" "unloadable $module $out"
		fi
	done
	ok "$step"
}

# step: whether the modules that could not be loaded can be now, without the live patch
retry() {
	: >>"$STATE/failed"
	while read -r module; do
		[ ! -d "/sys/module/$module" ] || continue
		insmod "/modules/$module.ko" 2>/dev/null || continue
		echo "$module" >>"$STATE/loaded"
		tell "$1" "loadable $module"
	done <"$STATE/failed"
	ok "$1"
}

# step, phase, seconds
probe() {
	read -r from rest </proc/uptime
	# A session of its own: with the probe ends what it started, where it takes too long.
	setsid timeout -s KILL "$3" sh ./probe.sh "$2" </dev/null >/tmp/out 2>/tmp/err 3>&- &
	pid=$!
	wait $pid
	code=$?
	read -r to rest </proc/uptime
	[ $((${to%.*} - ${from%.*})) -lt "$3" ] || [ $code != 137 ] || {
		kill -KILL -$pid 2>/dev/null
		tell "$1" "late"
	}
	tell_lines "$1" /tmp/out out
	tell_lines "$1" /tmp/err err
	tell "$1" "code $code"
	ok "$1"
}

idle() {
	sleep 2
	ok "$1"
}

# step, module: from here on the log is the live patch's doing
mark() {
	tell "$1" "taint $(cat /proc/sys/kernel/tainted)"
	echo "<4>kmend-test: loading $2" >/dev/kmsg
	ok "$1"
}

# step, module: its klp objects, whether each is there, and whether it is patched
objects() {
	for object in "$LIVEPATCH/$2"/*/; do
		object=${object%/}
		object=${object##*/}
		there=0
		[ "$object" != vmlinux ] && [ ! -d "/sys/module/$object" ] || there=1
		patched=$(cat "$LIVEPATCH/$2/$object/patched" 2>/dev/null)
		tell "$1" "object $object $there ${patched:--}"
	done
	ok "$1"
}

# step, module: counts how often the functions of the module are entered
count_on() {
	if ! mkdir $TRACE 2>/dev/null || ! echo 1024 >$TRACE/buffer_size_kb; then
		tell "$1" "uncounted the kernel makes no instance of its tracer"
	elif ! echo "*:mod:$2" 2>/dev/null >$TRACE/set_ftrace_filter; then
		tell "$1" "uncounted ftrace finds no function in $2"
	elif ! echo sym-addr >$TRACE/trace_options || ! echo noprint-parent >$TRACE/trace_options ||
		! echo function >$TRACE/current_tracer; then
		tell "$1" "uncounted the kernel does not trace functions"
	fi
	for section in "/sys/module/$2/sections"/.text*; do
		[ -e "$section" ] && tell "$1" "base ${section##*/} $(cat "$section")"
	done
	ok "$1"
}

# step
count_off() {
	if [ -d $TRACE ]; then
		echo 0 >$TRACE/tracing_on
		awk '/^#/ { next } { n[$NF]++ } END { for (at in n) print at, n[at] }' $TRACE/trace >/tmp/counts
		while read -r at n; do
			at=${at#<}
			tell "$1" "count ${at%>} $n"
		done </tmp/counts
		tell "$1" "lost $(cat $TRACE/per_cpu/cpu*/stats | awk '/overrun|dropped/ { n += $NF } END { print n + 0 }')"
		echo nop >$TRACE/current_tracer
		echo >$TRACE/set_ftrace_filter
		rmdir $TRACE
	fi
	ok "$1"
}

# step: removes what was loaded, the last first; some cannot be removed
finish() {
	tell "$1" "taint $(cat /proc/sys/kernel/tainted)"
	: >>"$STATE/loaded"
	tac "$STATE/loaded" >"$STATE/last-first"
	while read -r module; do
		rmmod "$module" 2>/dev/null
	done <"$STATE/last-first"
	ok "$1"
}
