#!/bin/sh
# Lints the contract with Buf, whose npm package (pinned in package.json) carries the binary, and holds it to what was
# promised (protos/tickserve-v1.binpb; `make contract` renews it). Without npm it says so and passes: tests/contract and
# scripts/baseline.py check the rules that matter most by themselves.
set -eu
cd "$(dirname "$0")/.."

if ! command -v npm >/dev/null 2>&1; then
    echo "buf lint: SKIPPED, npm is not installed (tests/contract/test_protos.py still checks comments and names)"
    exit 0
fi
buf=node_modules/.bin/buf
wanted=$(sed -n 's/.*"@bufbuild\/buf": "\(.*\)".*/\1/p' package.json)
if [ "$("$buf" --version 2>/dev/null || true)" != "$wanted" ]; then
    npm install --no-save --ignore-scripts --silent
fi
# Buf reads the descriptor set: the googleapis sources come from a Python package, not from Buf's registry.
.venv/bin/python scripts/protos.py descriptor build/contract.binpb
"$buf" lint build/contract.binpb --config buf.yaml
"$buf" breaking build/contract.binpb --against protos/tickserve-v1.binpb --exclude-imports --config buf.yaml
