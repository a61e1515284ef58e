#!/bin/sh
# Builds the reference programs that tests stand beside from their Go modules into .reference/bin, each once for its version.
# The programs stay below .reference; modules and compiled packages lie where Go keeps them for its user, so that the next checkout
# builds in seconds. Without a Go toolchain nothing is done: the tests that need a program say so (in CI they fail).
# usage: build/reference.sh [NAME...]
set -eu

# name, Go module, version, package in it, what to leave out: an import of its main.go, or a .go file (- for nothing).
# flanneld is built without Tencent's cloud: that SDK is not in every module proxy, and no test goes there.
# nerdctl is built without a file of its own tests that lies among the program's: it needs a module that is published nowhere.
TABLE='flanneld github.com/flannel-io/flannel v0.28.9 . github.com/flannel-io/flannel/pkg/backend/tencentvpc
bridge github.com/containernetworking/plugins v1.9.1 plugins/main/bridge -
host-local github.com/containernetworking/plugins v1.9.1 plugins/ipam/host-local -
static github.com/containernetworking/plugins v1.9.1 plugins/ipam/static -
portmap github.com/containernetworking/plugins v1.9.1 plugins/meta/portmap -
firewall github.com/containernetworking/plugins v1.9.1 plugins/meta/firewall -
bandwidth github.com/containernetworking/plugins v1.9.1 plugins/meta/bandwidth -
tuning github.com/containernetworking/plugins v1.9.1 plugins/meta/tuning -
cnitool github.com/containernetworking/cni v1.3.0 cnitool -
nerdctl github.com/containerd/nerdctl/v2 v2.3.5 cmd/nerdctl cmd/nerdctl/helpers/testing_linux.go'

VERSIONED=github.com/containernetworking/plugins/pkg/utils/buildversion.BuildVersion # what the plugins say without a verb

PATH="$PATH:/usr/local/go/bin"

say() { printf 'reference: %s\n' "$*"; }

compile() { # name module version package without
    export GOBIN="$PWD/.reference/bin" GOFLAGS='-modcacherw -buildvcs=false'
    mkdir -p .reference/bin
    rm -rf .reference/source
    here=$(cd .reference && go mod download -json "$2@$3" | sed -n 's/^\t"Dir": "\(.*\)",$/\1/p')
    [ -n "$here" ] || return 1
    cp -r "$here" .reference/source
    chmod -R u+w .reference/source
    case $5 in
    -) ;;
    *.go) rm ".reference/source/$5" ;;
    *) sed -i "\\|\"$5\"|d" ".reference/source/$4/main.go" ;;
    esac
    (cd ".reference/source/$4" && go build -trimpath -ldflags "-s -w -X $VERSIONED=$3" -o "$GOBIN/$1" .)
}

build() { # name module version package without
    printf '%s\n' "$*" | cmp -s - ".reference/$1.made" && [ -x ".reference/bin/$1" ] && return
    command -v go >/dev/null || {
        say "no Go toolchain here, so no $1; the tests beside it are left out (one in /usr/local/go is found)"
        return
    }
    say "building $1 $3 (two minutes the first time)"
    log=$(mktemp)
    if compile "$@" >"$log" 2>&1; then
        printf '%s\n' "$*" >".reference/$1.made"
    else
        say "$1 was not built; the tests beside it are left out: $(tail -n 3 "$log")"
    fi
    rm -f "$log"
}

cd "$(dirname "$0")/.."
printf '%s\n' "$TABLE" | while read -r name module version package without; do
    case " ${*:-$name} " in *" $name "*) build "$name" "$module" "$version" "$package" "$without" </dev/null ;; esac
done
rm -rf .reference/source
