#!/bin/sh
# Makes .venv with everything pinned: the hashed lock, then torch, then both distributions from this tree.
# PYTHON names the interpreter; TORCH_PIP_ARGS goes to the command that installs torch (another index, say).
set -eu
cd "$(dirname "$0")/.."

say() { printf 'setup: %s\n' "$*"; }

is_311() { "$1" -c 'import sys, venv; sys.exit(sys.version_info[:2] != (3, 11))' >/dev/null 2>&1; }

python=
for candidate in ${PYTHON:-python3.11 python3}; do
    if is_311 "$candidate"; then python=$candidate && break; fi
done
if [ -z "$python" ]; then
    say "CPython 3.11 with its venv module is needed; tried: ${PYTHON:-python3.11 python3}." >&2
    say "Install it, or name it: make setup PYTHON=/path/to/python3.11" >&2
    exit 1
fi

# A .venv that was interrupted, or whose interpreter is gone, is made anew; a good one is brought up to date in place.
if ! is_311 .venv/bin/python || ! .venv/bin/python -m pip --version >/dev/null 2>&1; then
    say "making .venv with $("$python" --version)"
    "$python" -m venv --clear .venv
fi

# -qq: errors only; what a machine's own pip configuration makes it warn of is not the project's.
pip() { .venv/bin/python -m pip --disable-pip-version-check --no-input "$@"; }

# The build back end comes first, so that nothing is built with what pip would fetch unpinned.
say "installing pinned packages (requirements/lock.txt); about a minute once they are downloaded"
pip install -qq --require-hashes -r requirements/build.txt
pip install -qq --require-hashes --no-build-isolation -r requirements/lock.txt
say "installing torch (requirements/torch.txt)"
# shellcheck disable=SC2086  # several arguments are meant
pip install -qq ${TORCH_PIP_ARGS:-} -r requirements/torch.txt
say "installing tickserve and tickserve-server from this tree"
pip install -qq --no-deps --no-build-isolation -e clients/python -e .
pip check
say "done"
