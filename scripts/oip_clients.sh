#!/bin/sh
# Makes build/oip-clients: the Open Inference Protocol's real clients, Triton's and KServe's, in an environment of their
# own, for what they need is none of the server's. Pinned with hashes; --upgrade resolves requirements/oip-clients.txt anew.
set -eu
cd "$(dirname "$0")/.."

folder=build/oip-clients
pins=requirements/oip-clients.txt
if [ "${1:-}" = --upgrade ]; then
    [ -x build/lock-venv/bin/pip-compile ] || { echo "oip-clients: run make lock first" >&2; exit 1; }
    build/lock-venv/bin/pip-compile --quiet --upgrade --generate-hashes --allow-unsafe --strip-extras --no-annotate \
        --no-header --no-emit-index-url --no-emit-find-links --no-emit-trusted-host --no-emit-options \
        --output-file "$pins" requirements/oip-clients.in
fi
[ "$folder/.complete" -nt "$pins" ] && exit 0
echo "oip-clients: installing Triton's and KServe's clients"
.venv/bin/python -m venv --clear "$folder"
"$folder/bin/python" -m pip --disable-pip-version-check --no-input install -qq --no-compile --only-binary :all: --require-hashes -r "$pins"
touch "$folder/.complete"
