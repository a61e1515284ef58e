#!/bin/sh
# Makes a checkout ready to run or to test: system packages by name (as root on Debian), then .venv from pinned, hashed files.
# It is shell because a bare Debian has no Python yet. Outside the checkout it changes nothing but installed packages.
# usage: build/setup.sh run|deb|test|guest
set -eu

# What must be there -> the package that brings it. A path must exist; NAME! is a Python module of the system's Python.
RUN='python3 python3
ensurepip! python3-venv
ip iproute2
nft nftables
ping iputils-ping
objcopy binutils
gcc gcc
musl-gcc musl-tools'
DEB="$RUN
/usr/share/build-essential/list build-essential
dpkg-buildpackage dpkg-dev
dh debhelper"
TEST="$DEB
/usr/include/stdio.h libc6-dev
lintian lintian
mmdebstrap mmdebstrap
podman podman
/usr/lib/podman/netavark netavark
/usr/lib/podman/aardvark-dns aardvark-dns
curl curl
runc runc
containerd containerd
dockerd docker.io
sysctl procps
iptables iptables
dbus-daemon dbus-daemon
dbus-send dbus-bin
firewalld firewalld
strace strace
wg wireguard-tools
wireguard-go wireguard-go
etcd etcd-server
etcdctl etcd-client
iperf3 iperf3
openssl openssl
zsh zsh
mandoc mandoc
man man-db
fish fish
/usr/lib/cni/bridge containernetworking-plugins
/var/lib/dpkg/info/busybox-static.list busybox-static"
GUEST="$TEST
qemu-system-x86_64 qemu-system-x86
setpriv util-linux
depmod kmod
mke2fs e2fsprogs"

load='import ctypes, sysconfig; ctypes.CDLL(sysconfig.get_config_var("INSTSONAME"))' # the library a frozen program runs on

PATH="$PATH:/usr/local/sbin:/usr/sbin:/sbin"
python=/usr/bin/python3 # the system's own, never one a version manager put in front

say() { printf 'setup: %s\n' "$*"; }
die() {
    printf 'setup: %s\n' "$*" >&2
    exit 1
}

present() {
    case $1 in
    /*) [ -e "$1" ] ;;
    *!) [ -x "$python" ] && "$python" -c "import ${1%!}" 2>/dev/null ;;
    libpython) "$python" -c "$load" 2>/dev/null ;;
    python3) [ -x "$python" ] ;;
    *) command -v "$1" >/dev/null ;;
    esac
}

missing() {
    printf '%s\n' "$1" | while read -r need package; do
        present "$need" || printf '%s ' "$package"
    done
}

fetch() { # a package may bring a service (etcd-server, containerd, docker.io and firewalld do): none is started now or at the next boot
    if [ ! -e /usr/sbin/policy-rc.d ]; then
        ban=/usr/sbin/policy-rc.d
        printf '#!/bin/sh\nexit 101\n' >"$ban"
        chmod +x "$ban"
    fi
    code=0
    DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends "$@" >"$log" 2>&1 || code=$?
    [ -z "$ban" ] || rm -f "$ban"
    for package in etcd-server:etcd containerd:containerd docker.io:docker docker.io:docker.socket firewalld:firewalld; do
        case " $* " in
        *" ${package%:*} "*) ! command -v systemctl >/dev/null || systemctl disable "${package#*:}" >/dev/null 2>&1 || : ;;
        esac
    done
    return "$code"
}

refresh() {
    say 'refreshing the package lists'
    apt-get update -qq >"$log" 2>&1 || die "apt-get update failed: $(tail -n 3 "$log")"
}

packages() {
    wanted=$(missing "$1")
    [ -n "$wanted" ] || return 0
    if ! command -v apt-get >/dev/null; then
        die "missing here: $wanted(Debian's package names); install them with this system's package manager, then run make again"
    fi
    if [ "$(id -u)" != 0 ]; then
        die "system packages are missing; run this once, then make again:
    sudo sh -c 'apt-get update && apt-get install -y --no-install-recommends ${wanted% }'"
    fi
    log=$(mktemp)
    ban=
    trap 'rm -f "$log" $ban' EXIT
    ls /var/lib/apt/lists/*_Packages* >/dev/null 2>&1 || refresh
    say "installing $wanted"
    # shellcheck disable=SC2086 # one word a package
    fetch $wanted || { refresh && fetch $wanted; } || die "apt-get install $wanted failed: $(tail -n 5 "$log")"
    wanted=$(missing "$1")
    [ -z "$wanted" ] || die "still missing after the installation: $wanted"
}

environment() {
    "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
        die "$python is $("$python" -V 2>&1), but 3.11 or newer is needed: Debian 12 and later have it"
    if ! .venv/bin/python -c '' 2>/dev/null || ! grep -qsxF "$PWD" .venv/made-in; then
        say 'making .venv'
        "$python" -m venv --clear .venv
        printf '%s\n' "$PWD" >.venv/made-in
    fi
}

requirements() { # file...: nothing to do when this goal was reached with the same files
    sum=$(cat "$@" | cksum)
    [ "$(cat .venv/ready-for-"$goal" 2>/dev/null)" != "$sum" ] || return 0
    say "installing the pinned Python packages ($goal)"
    # shellcheck disable=SC2046 # two words a file
    .venv/bin/python -m pip install --quiet --disable-pip-version-check --progress-bar off --require-hashes \
        $(printf -- '-r %s ' "$@") || die 'pip failed; the lines above say why (no network, a proxy, a wrong index?)'
    printf '%s\n' "$sum" >.venv/ready-for-"$goal"
}

kernel() { # Debian's cloud kernel, unpacked below .guest and never installed; delete .guest to get a newer one
    [ ! -e .guest/kernel/boot ] || return 0
    [ "$(dpkg --print-architecture 2>/dev/null)" = amd64 ] ||
        die "the guest is made from an amd64 Debian's own packages, and this is none; the other tests run everywhere: make test"
    log=${log:-$(mktemp)}
    trap 'rm -f "$log"' EXIT
    package=$(newest_kernel)
    if [ -z "$package" ] && [ "$(id -u)" = 0 ]; then
        refresh
        package=$(newest_kernel)
    fi
    [ -n "$package" ] || die 'no package list knows linux-image-cloud-amd64; run apt-get update as root, then make again'
    say "downloading $package"
    rm -rf .guest/download
    mkdir -p .guest/download
    get_kernel || { [ "$(id -u)" = 0 ] && refresh && get_kernel; } ||
        die "apt-get download $package failed (an old package list? apt-get update as root renews it): $(tail -n 3 "$log")"
    dpkg-deb -x .guest/download/*.deb .guest/download/kernel
    rm -rf .guest/kernel
    mv .guest/download/kernel .guest/kernel
    rm -r .guest/download
}

newest_kernel() {
    apt-cache depends linux-image-cloud-amd64 2>/dev/null | sed -n 's/^ *Depends: \(linux-image-[0-9].*\)$/\1/p'
}

get_kernel() {
    package=$(newest_kernel)
    (cd .guest/download && apt-get download -qq "$package") >"$log" 2>&1
}

cd "$(dirname "$0")/.."
goal=${1:-}
case $goal in
run) tools=$RUN files='requirements/run.txt requirements/build.txt' ;;
deb) tools=$DEB files='' ;; # Python packages: those of the goal run
test) tools=$TEST files='requirements/run.txt requirements/build.txt requirements/test.txt' ;;
guest) tools=$GUEST files='' ;; # those of the goal test
*) die "usage: build/setup.sh run|deb|test|guest (not '$goal')" ;;
esac
packages "$tools"
[ "$goal" != guest ] || kernel
[ -n "$files" ] || exit 0
packages "libpython $("$python" -c 'import sysconfig; print(f"libpython{sysconfig.get_python_version()}")')" # named after Python's version
environment
# shellcheck disable=SC2086 # one word a file
requirements $files
