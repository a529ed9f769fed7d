#!/bin/sh
# Builds the program with Debian's golang-go and its Go packages, which are sources below /usr/share/gocode and have no
# modules. Stubs of imports lie in `vendor`, where our code finds them before Debian's older ones; grpc itself does not.
set -eu
cd "$(dirname "$0")"
stubs=../../build/stubs/go
tree=../../build/clients/go

rm -rf "$tree/src"
mkdir -p "$tree/src/example.com/tickserve/client" "$tree/src/example.com/tickserve/vendor"
cp -r "$stubs/example.com" "$tree/src/"
cp -r "$stubs/google.golang.org" "$tree/src/example.com/tickserve/vendor/"
cp ./*.go "$tree/src/example.com/tickserve/client/"
tree=$(cd "$tree" && pwd)
cd "$tree/src/example.com/tickserve/client"
export GO111MODULE=off GOPATH="$tree:/usr/share/gocode" GOCACHE="$tree/cache"
go vet -tags debian .
go build -tags debian -o "$tree/client" .
