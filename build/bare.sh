#!/bin/sh
# Runs a command in a clean Debian of a named release: what a newcomer's machine is, whatever is installed on this one.
# The root is made by mmdebstrap from this machine's own archive with the suite changed, once; each run gets a copy, which is gone afterwards.
# It has apt's essential packages and nothing else, the host's name resolution and certificates, and this checkout's HEAD at /tulle (URL in
# the README). Mounts, processes, System V objects and cgroups are the command's own; the network is the host's, for apt and pip.
# usage: build/bare.sh SUITE [--with FOLDER]... COMMAND [ARG...]    FOLDER of this checkout is copied to /ready
# build/bare.sh trixie sh -c 'apt-get install -y git make && git clone /tulle tulle && make -C tulle demo'
set -eu

say() { printf 'bare: %s\n' "$*" >&2; }
die() {
    say "$*"
    exit 1
}

sources() { # the archive's own entries with the suite changed, in either form; updates and security have other names
    sed -n 's/^\(deb \(\[[^]]*\] \)\{0,1\}[^ ]*\/debian\/\{0,1\}\) .*/\1 '"$suite"' main/p' /etc/apt/sources.list /etc/apt/sources.list.d/*.list 2>/dev/null || :
    cat /etc/apt/sources.list.d/*.sources 2>/dev/null | awk -v suite="$suite" 'BEGIN { FS = "\n"; RS = "" } {
        uri = ""; key = ""
        for (i = 1; i <= NF; i++) {
            if ($i ~ /^URIs:/ && $i ~ /\/debian\/?$/) { uri = $i; sub(/^URIs: */, "", uri) }
            if ($i ~ /^Signed-By:/) { key = $i; sub(/^Signed-By: */, "", key) }
        }
        if (uri != "") print "deb " (key ? "[signed-by=" key "] " : "") uri " " suite " main"
    }'
}

cd "$(dirname "$0")/.."
suite=${1:?usage: build/bare.sh SUITE COMMAND [ARG...]}
shift
[ "$(id -u)" = 0 ] || die 'needs root: it mounts and changes its root'
command -v mmdebstrap >/dev/null || die 'mmdebstrap is missing: make setup FOR=test'
with=
while [ "${1:-}" = --with ]; do
    with="$with $2"
    shift 2
done
[ $# -gt 0 ] || die 'which command?'

mkdir -p .bare
if [ ! -s ".bare/$suite.tar" ]; then
    say "making a root of Debian's $suite"
    sources | sort -u | mmdebstrap --quiet --format=tar --variant=minbase --aptopt='Acquire::Languages "none"' --skip=cleanup/apt/lists \
        "$suite" ".bare/$suite.tar.new" - || die "mmdebstrap failed"
    mv ".bare/$suite.tar.new" ".bare/$suite.tar"
fi

authority=
root=$(mktemp -d "$PWD/.bare/$suite.XXXXXX")
trap 'rm -rf --one-file-system "$root"' EXIT
tar -C "$root" -xf ".bare/$suite.tar"
git clone -q --bare . "$root/tulle"
git -C "$root/tulle" update-ref HEAD "$(git rev-parse HEAD)"
for folder in $with; do mkdir -p "$root/ready" && cp -aL "$folder" "$root/ready/"; done
cp -L /etc/resolv.conf /etc/hosts "$root/etc/"
if [ -e /etc/ssl/certs/ca-certificates.crt ]; then # pip must get through a proxy that this machine trusts
    cp -L /etc/ssl/certs/ca-certificates.crt "$root/etc/host-authorities.crt"
    authority=PIP_CERT=/etc/host-authorities.crt
fi

AUTHORITY=$authority unshare --mount --pid --ipc --uts --cgroup --fork --kill-child --propagation private sh -eu -c '
    root=$1
    shift
    mount --bind "$root" "$root" # a root that is a mount of its own, as container runtimes expect
    mount -t proc proc "$root/proc"
    mount --rbind /sys "$root/sys"
    mount -t tmpfs -o mode=755 tmpfs "$root/dev"
    for node in full null random tty urandom zero net/tun fuse kvm; do
        [ -e "/dev/$node" ] || continue
        mkdir -p "$(dirname "$root/dev/$node")"
        : >"$root/dev/$node"
        mount --bind "/dev/$node" "$root/dev/$node"
    done
    mkdir "$root/dev/pts" "$root/dev/shm" "$root/dev/mqueue"
    mount -t devpts -o newinstance,ptmxmode=0666 devpts "$root/dev/pts"
    mount -t tmpfs tmpfs "$root/dev/shm"
    ln -s pts/ptmx "$root/dev/ptmx"
    ln -s /proc/self/fd "$root/dev/fd"
    ln -s /proc/self/fd/0 "$root/dev/stdin" # nft reads its rules from there
    ln -s /proc/self/fd/1 "$root/dev/stdout"
    ln -s /proc/self/fd/2 "$root/dev/stderr"
    mount -t tmpfs -o mode=755 tmpfs "$root/run"
    mount -t tmpfs -o mode=1777 tmpfs "$root/tmp"
    mount --make-rprivate "$root"
    hostname bare
    exec chroot "$root" env -i --chdir=/root PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8 DEBIAN_FRONTEND=noninteractive $AUTHORITY ${CI:+CI=$CI} "$@"
' sh "$root" "$@"
