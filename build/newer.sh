#!/bin/sh
# Unpacks Podman 5, netavark and aardvark-dns out of Debian's next suite into .newer/tree, for the tests of the Podman driver: Debian 12's are too old
# for drivers. Nothing is installed, and apt's own lists stay as they are: the sources are this machine's with the suite changed, all of
# apt's folders are below .newer. Where that cannot be done, the tests that need it say so (in CI they fail).
# usage: build/newer.sh [fetch]
set -eu

SUITE=trixie
PACKAGES='podman netavark aardvark-dns libc6 libgcc-s1 libgpgme11t64 libassuan9 libgpg-error0 libseccomp2 libsubid5 libsqlite3-0'

say() { printf 'newer: %s\n' "$*"; }

sources() { # the entries of Debian's own archive, in either form; security and updates have other suites
    sed -n 's/^\(deb \(\[[^]]*\] \)\{0,1\}[^ ]*\/debian\/\{0,1\}\) .*/\1 '"$SUITE"' main/p' /etc/apt/sources.list /etc/apt/sources.list.d/*.list 2>/dev/null || :
    cat /etc/apt/sources.list.d/*.sources 2>/dev/null | awk 'BEGIN { FS = "\n"; RS = "" } {
        uri = ""; key = ""
        for (i = 1; i <= NF; i++) {
            if ($i ~ /^URIs:/ && $i ~ /\/debian\/?$/) { uri = $i; sub(/^URIs: */, "", uri) }
            if ($i ~ /^Signed-By:/) { key = $i; sub(/^Signed-By: */, "", key) }
        }
        if (uri != "") print "deb " (key ? "[signed-by=" key "] " : "") uri " '"$SUITE"' main"
    }'
}

fetch() {
    rm -rf .newer
    mkdir -p .newer/apt/lists/partial .newer/apt/archives/partial .newer/debs .newer/tree
    sources | sort -u >.newer/apt/newer.list
    : >.newer/apt/status
    apt="$PWD/.newer/apt"
    set -- -qq -o "Dir::Etc::sourcelist=$apt/newer.list" -o Dir::Etc::sourceparts=/dev/null -o "Dir::State::lists=$apt/lists" \
        -o "Dir::Cache=$apt" -o "Dir::State::status=$apt/status" -o APT::Sandbox::User= -o Acquire::Languages=none
    apt-get "$@" update
    # shellcheck disable=SC2086 # one word a package
    (cd .newer/debs && apt-get "$@" download $PACKAGES)
    for deb in .newer/debs/*.deb; do
        dpkg-deb --fsys-tarfile "$deb" | tar -C .newer/tree -xf - --keep-directory-symlink
    done
    rm -rf .newer/apt .newer/debs
}

cd "$(dirname "$0")/.."
if [ "${1:-}" = fetch ]; then
    fetch
    exit
fi
if [ "$(cat .newer/made 2>/dev/null)" = "$SUITE $PACKAGES" ]; then
    exit
fi
if ! command -v apt-get >/dev/null; then
    say "no apt-get here, so no newer Podman; the tests with it are left out"
    exit
fi
say "downloading Podman 5, netavark and aardvark-dns from Debian's $SUITE"
log=$(mktemp)
if sh build/newer.sh fetch >"$log" 2>&1; then # a process of its own: below `if` the shell would go on after a failure
    printf '%s\n' "$SUITE $PACKAGES" >.newer/made
else
    say "not downloaded; the tests with it are left out: $(tail -n 3 "$log")"
fi
rm -f "$log"
