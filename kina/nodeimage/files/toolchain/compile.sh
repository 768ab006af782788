#!/bin/sh
# Compiles Kubernetes from Debian's source package, and kina-node beside it, in a root with Debian's Go.
#   compile.sh prepare                  unpack the source and complete it
#   compile.sh build VERSION NAME       a program, static, into /out
set -eu
export GOPATH=/build GO111MODULE=off CGO_ENABLED=0 GOCACHE=/cache HOME=/build
module=k8s.io/kubernetes
root=/build/src/$module

prepare() {
    # apt has verified the archives through the signed index of sources.
    dpkg-source --no-check -x /source/kubernetes_*.dsc /build/unpacked >/dev/null
    rmdir "$root"
    mv /build/unpacked "$root"
    cd "$root"
    mkdir cmd/kina-node # ours is mounted there
    # The vendored reflect2 panics under Go 1.18 and later, and the vendored dns is years behind in security;
    # Debian's packages of them are not.
    for library in github.com/modern-go/reflect2 github.com/miekg/dns; do
        rm -r "vendor/$library"
        cp -r "/usr/share/gocode/src/$library" "vendor/${library%/*}/"
    done
    # Waits that a new cluster has no use for; each says why.
    for patch in /patches/*.patch; do
        patch --strip=1 --fuzz=0 --input="$patch"
    done
    # Debian's source lacks this generated file, which upstream's archives have.
    inputs=$(grep -rl '^// +k8s:openapi-gen=true' --include=*.go vendor/k8s.io/*/ pkg/apis |
        grep -v -e '^vendor/k8s.io/code-generator/' -e '^vendor/k8s.io/sample-apiserver/' |
        xargs -n 1 dirname | sort -u | sed "s,^,$module/," | paste -sd ,)
    go run ./vendor/k8s.io/kube-openapi/cmd/openapi-gen --logtostderr -v 0 -i "$inputs" \
        -p "$module/pkg/generated/openapi" -O zz_generated.openapi \
        -h hack/boilerplate/boilerplate.generatego.txt -r /build/violations
}

build() {
    version=$1
    name=$2
    cd "$root"
    if [ "$name" = pause ]; then
        gcc -Os -Wall -static -DVERSION=kina -o /out/pause build/pause/linux/pause.c
        strip /out/pause
        return
    fi
    minor=${version#*.}
    stamps=
    for package in client-go/pkg/version component-base/version; do
        for stamp in "gitVersion=v$version" "gitMajor=${version%%.*}" "gitMinor=${minor%%.*}" gitCommit=debian \
            gitTreeState=archive buildDate=1970-01-01T00:00:00Z; do
            stamps="$stamps -X $module/vendor/k8s.io/$package.$stamp"
        done
    done
    go build -trimpath -ldflags "-s -w $stamps" -o "/out/$name" "./cmd/$name"
}

"$@"
