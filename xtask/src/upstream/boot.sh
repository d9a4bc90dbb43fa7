# SPDX-License-Identifier: GPL-2.0-or-later
# The sample of the series in a guest, and the examples of its documentation. Uses lib.sh; the host judges.

begin upstream
before=$(cat /proc/cmdline)
out=$(insmod "/s/upstream/rust_livepatch_examples.ko" 2>&1) || fail 1 "the examples: $out: $(dmesg | tail -n 3)"
rmmod_one 1 rust_livepatch_examples
load 2 rust_livepatch
[ "$(cat /proc/cmdline)" = "this has been live patched" ] || fail 3 "/proc/cmdline is $(cat /proc/cmdline)"
ok 3
disable 4 rust_livepatch
[ "$(cat /proc/cmdline)" = "$before" ] || fail 5 "/proc/cmdline is $(cat /proc/cmdline)"
ok 5
rmmod_one 6 rust_livepatch
dmesg | sed -n 's/^[^]]*\] \(rust_livepatch.*: \)/\1/p' | say_lines out 7
ok 7
end
