# SPDX-License-Identifier: GPL-2.0-or-later
# For probes of fixes whose effect cannot be provoked in a small guest: shows that their code is entered.

# entered MODULE FUNCTION ACTION…: whether ACTION enters FUNCTION, and, where MODULE is loaded, FUNCTION's new code there.
entered() {
	module=$1 function=$2
	shift 2
	traced "$function" "$function" "$@"
	[ ! -d "/sys/module/$module" ] || traced "new $function" "*$function*:mod:$module" "$@"
}

traced() {
	name=$1 filter=$2
	shift 2
	tracing=/sys/kernel/tracing
	echo nop >$tracing/current_tracer
	# An empty filter would trace everything.
	if ! echo "$filter" >$tracing/set_ftrace_filter 2>/dev/null; then
		echo "$name: cannot be traced"
		return
	fi
	echo >$tracing/trace
	echo function >$tracing/current_tracer
	"$@"
	hits=$(grep -c ' <-' $tracing/trace)
	echo nop >$tracing/current_tracer
	echo >$tracing/set_ftrace_filter
	echo >$tracing/trace
	[ "$hits" -gt 0 ] && echo "$name: entered" || echo "$name: not entered"
}
