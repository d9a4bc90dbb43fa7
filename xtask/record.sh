#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# `make record`: runs `make demo` on a terminal, and writes what was seen there as a text into docs/demo.md. Left out are colours, bars
# that were drawn over, the names of the folders of this machine, and all but the number of the crates that cargo compiles.
set -eu
cd "$(dirname "$0")/.."

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
begun=$(date +%s)
# The program's exit code is that of `script`.
script --quiet --flush --return --command "${*:-make --no-print-directory demo}" "$work/seen"
took=$(($(date +%s) - begun))

escape=$(printf '\033')
return=$(printf '\r')
sed -e "/^Script \(started\|done\) on /d" -e "s/$return*\$//" -e "s/$escape\[[0-9;?]*[A-Za-z]//g" -e "s/.*$return//" \
    -e "s#$PWD#.#g" -e "s#$HOME#~#g" -e "s#$work#/tmp#g" -e 's/ *$//' "$work/seen" |
    awk '
        # What cargo compiles, fetches and draws.
        /^ +(Compiling|Fresh) / { crates++; next }
        /^ +(Blocking|Building|Downloaded|Downloading|Locking|Updating|Adding) / { next }
        crates { printf "   Compiling %d %s\n", crates, crates == 1 ? "crate" : "crates"; crates = 0 }
        # One empty line in the place of bars that are gone.
        NF { if (empty && seen) print ""; empty = 0; seen = 1; print; next }
        { empty = 1 }' >"$work/text"

system=$(sed -n 's/^PRETTY_NAME="\(.*\)"/\1/p' /etc/os-release)
{
    cat <<END
<!-- SPDX-License-Identifier: GPL-2.0-or-later -->
<!-- Written by \`make record\` (xtask/record.sh). -->
# The demo, recorded

\`make demo\` fetches a stock kernel, builds a live patch from a real fix, and boots the kernel to show what the live patch does. This is what it
printed on $system with $(nproc) processors, in $took seconds. \`exists already\` and \`nothing is missing\` are steps that an earlier run
had done. Colours and progress bars are left out, and so are the names of the crates that were compiled.

\`\`\`text
END
    cat "$work/text"
    echo '```'
} >"$work/page"
mv "$work/page" docs/demo.md
echo "record: docs/demo.md"
