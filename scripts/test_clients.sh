#!/bin/sh
# Builds the example programs of clients/ and runs tests/clients against a live service; arguments are pytest's. Without the
# programs' toolchains, where they cannot be installed, it says so and runs the rest.
set -eu
cd "$(dirname "$0")/.."

status=0
scripts/toolchains.sh || status=$?
case $status in
0)
    .venv/bin/python -m scripts.stubs
    for language in go java cpp node; do
        echo "test-clients: building $language"
        case $language in
        node) clients/node/node_modules/.bin/tsc -p clients/node ;;
        *) "clients/$language/build.sh" ;;
        esac
    done
    ;;
3)
    echo "test-clients: the programs in Go, Java, C++ and TypeScript are SKIPPED, see above"
    set -- --ignore=tests/clients/test_examples.py "$@"
    ;;
*) exit "$status" ;;
esac
scripts/oip_clients.sh
exec .venv/bin/python -m pytest tests/clients "$@"
