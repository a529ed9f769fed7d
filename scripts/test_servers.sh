#!/bin/sh
# Installs the real servers that tests talk to, from the system's packages, where they are missing and may be installed.
# A test that does not find its server is skipped and says so.
set -eu

missing=
need() { command -v "$1" >/dev/null || missing="$missing $2"; }
need redis-server redis-server
need promtool prometheus
need chromium chromium
need nft nftables
need ip iproute2
need ss iproute2
[ -n "$missing" ] || exit 0

if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
    echo "tests: not found:$missing; the tests that need them are skipped. Install them with your package manager."
    exit 0
fi
echo "tests: installing$missing"
export DEBIAN_FRONTEND=noninteractive
# The packages' own services must not start: tests start servers of their own.
RUNLEVEL=1 apt-get install -y -qq --no-install-recommends $missing >/dev/null 2>&1 ||
    { apt-get update -qq && RUNLEVEL=1 apt-get install -y -qq --no-install-recommends $missing >/dev/null; }
