#!/bin/busybox sh
# SPDX-License-Identifier: GPL-2.0-or-later
. /trace.sh
sleep 100 &
task=$!
niceness() {
	cut -d ' ' -f 19 /proc/$task/stat
}
change() {
	all=$(niceness)
	renice -n 5 -p $task
	all="$all $(niceness)"
	renice -n -5 -p $task
	all="$all $(niceness)"
}
entered kmend_sched_class sched_change_end change
echo "niceness: $all"
kill $task
