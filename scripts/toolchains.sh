#!/bin/sh
# Installs what the stubs and example programs of clients/ are made with, where it is missing and may be installed:
# Debian's packages, npm packages at locked versions, and one Go plugin built from Debian's sources.
# Exit codes: 0 all there; 3 something is missing that cannot be installed here, and standard error says what.
set -eu
cd "$(dirname "$0")/.."

missing=
need() { [ -e "$1" ] || missing="$missing $2"; }
gocode=/usr/share/gocode/src
jars=/usr/share/java
need /usr/bin/protoc protobuf-compiler
need /usr/bin/grpc_cpp_plugin protobuf-compiler-grpc
need /usr/bin/grpc_java_plugin protobuf-compiler-grpc-java-plugin
need /usr/bin/protoc-gen-go-grpc protoc-gen-go-grpc
need /usr/bin/go golang-go
need $gocode/google.golang.org/grpc golang-google-grpc-dev
need $gocode/google.golang.org/protobuf golang-google-protobuf-dev
# Of the two that golang-google-grpc-dev may use: the one that keeps its own registry of messages (clients/go/README.md).
need $gocode/github.com/golang/protobuf golang-github-golang-protobuf-1-3-dev
need /usr/bin/c++ g++
need /usr/bin/cmake cmake
need /usr/include/grpcpp/grpcpp.h libgrpc++-dev
need /usr/include/google/protobuf/message.h libprotobuf-dev
command -v javac >/dev/null || missing="$missing default-jdk-headless"
need $jars/grpc-core.jar libgrpc-java
need $jars/netty-codec-http2.jar libnetty-java
need $jars/protobuf.jar libprotobuf-java
need $jars/gson.jar libgoogle-gson-java
need $jars/guava.jar libguava-java
need $jars/perfmark-api.jar libperfmark-java
need $jars/geronimo-annotation-1.3-spec.jar libgeronimo-annotation-1.3-spec-java

if ! command -v npm >/dev/null; then
    echo "toolchains: not found: npm; install Node 20 or later." >&2
    exit 3
fi
if [ -n "$missing" ]; then
    if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
        echo "toolchains: not found:$missing; install these Debian packages, or run this as root." >&2
        exit 3
    fi
    echo "toolchains: installing$missing"
    export DEBIAN_FRONTEND=noninteractive
    apt-get install -y -qq --no-install-recommends $missing >/dev/null 2>&1 ||
        { apt-get update -qq && apt-get install -y -qq --no-install-recommends $missing >/dev/null; }
fi

# Debian's protoc-gen-go that goes with its grpc is of 2019 and knows no `optional`; the newer one is built from source.
if [ ! -x build/tools/protoc-gen-go ]; then
    mkdir -p build/tools
    GO111MODULE=off GOPATH=/usr/share/gocode GOCACHE="$PWD/build/clients/go/cache" \
        go build -o build/tools/protoc-gen-go google.golang.org/protobuf/cmd/protoc-gen-go
fi

# Brings the npm packages of a folder to its lock; says nothing where they are.
packages() (
    cd "$1"
    [ node_modules/.package-lock.json -nt package-lock.json ] || npm ci --ignore-scripts --no-audit --no-fund --silent
)
packages .
packages clients/node
