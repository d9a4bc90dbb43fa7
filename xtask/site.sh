#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# `make site`: README.md, ARCHITECTURE.md, CHANGELOG.md and docs/ in, a site that mdbook renders out, in target/site. The pages are
# copied to places that are as far from each other as in the repository, so that their links work in both.
set -eu
cd "$(dirname "$0")/.."

# The mdbook that is compiled where the machine has none: Debian 12 has no package of it.
version=0.5.4
# Files that are no pages, but that pages refer to (builder/tests/docs.rs compares).
beside="COPYING Containerfile LICENSES"
# As kmend-build's: builder/src/files.rs.
cache=${KMEND_CACHE:-${XDG_CACHE_HOME:+$XDG_CACHE_HOME/kmend}}
cache=${cache:-$HOME/.cache/kmend}

mdbook=$(command -v mdbook) || {
    mdbook=$cache/mdbook-$version/bin/mdbook
    if [ ! -x "$mdbook" ]; then
        echo "site: compiling mdbook $version, once and for a few minutes, into $cache/mdbook-$version"
        # Without the web server. In a target folder of its own, which cargo removes.
        env -u CARGO_TARGET_DIR "${CARGO:-cargo}" install --quiet --locked --no-default-features --features search \
            --version "$version" --root "$cache/mdbook-$version" mdbook || {
            echo "site: mdbook $version cannot be compiled: install mdbook in another way, and have it in PATH" >&2
            exit 1
        }
    fi
}

rm -rf target/book
mkdir -p target/book/docs
# The first page of a folder is its index in a site: mdbook would rename README.md, but not the links to it.
in_site() { sed 's#](\([./a-z]*\)README\.md#](\1index.md#g' "$@"; }
for page in README.md ARCHITECTURE.md CHANGELOG.md docs/*.md; do
    in_site "$page" >"target/book/$(echo "$page" | sed 's#README\.md$#index.md#')"
done
cp -R $beside target/book
# mdbook wants its list of pages above all pages.
rm target/book/docs/SUMMARY.md
in_site docs/SUMMARY.md | sed 's#](\([^)]*\))#](docs/\1)#; s#](docs/\.\./#](#' >target/book/SUMMARY.md
# Warnings only; the first name is that of mdbook 0.5, the other one that of older ones.
MDBOOK_LOG=warn RUST_LOG=warn "$mdbook" build
echo "site: target/site/index.html"
