#!/bin/sh
# Runs a command as the image does (deploy/Dockerfile): as an unprivileged user without capabilities, every file system
# read-only but for the folders named below. Needs root, to become less; no container engine. For `tickserve serve`:
#   scripts/read_only_run.sh registry .venv/bin/tickserve serve
# The registry is seen at /mnt/registry, read-only; what is written goes to memory and is gone at the end.
set -eu

UID_INSIDE=10001 # as in deploy/Dockerfile
WRITABLE="/tmp /dev/shm /mnt/cache /mnt/state"

die() { printf 'read_only_run: %s\n' "$*" >&2; exit 1; }

if [ "${1:-}" != --inside ]; then
    [ $# -ge 2 ] || die "usage: $0 REGISTRY COMMAND [ARGUMENT...]"
    [ "$(id -u)" = 0 ] || die "only root can make the file systems read-only"
    [ -d "$1" ] || die "no folder: $1"
    # Processes are replaced, not begun: signals reach the command itself.
    exec unshare --mount --propagation private -- "$0" --inside "$@"
fi

registry=$2
shift 2

mount -t tmpfs -o mode=0755 stage /mnt
mkdir /mnt/registry /mnt/cache /mnt/state /mnt/tree
mount --bind "$registry" /mnt/registry
tree=$(cd "$(dirname "$0")/.." && pwd)
mount --bind "$tree" /mnt/tree

# An interpreter in somebody's private folder (pyenv in /root, say) is shown to the user, and nothing else of the folder.
python=$(dirname "$1")/python
if [ -x "$python" ]; then
    prefix=$("$python" -c 'import sys; print(sys.base_prefix)')
    private='' folder=$prefix
    while [ "$folder" != / ]; do
        case $(stat -c %A "$folder") in *x) ;; *) private=$folder ;; esac
        folder=$(dirname "$folder")
    done
    if [ -n "$private" ]; then
        mkdir /mnt/python
        mount --bind "$prefix" /mnt/python
        mount -t tmpfs -o mode=0755 hidden "$private"
        mkdir -p "$prefix"
        mount --bind /mnt/python "$prefix"
    fi
fi

# What is mounted beneath another mount of the same place cannot be reached, and so not be remounted: the last counts.
awk '{ print $2 }' /proc/mounts | sort -u | while read -r point; do
    case $point in
    /proc | /dev/pts) continue ;; # no files that stay
    esac
    [ -e "$point" ] || continue
    mount -o remount,bind,ro "$point" || die "cannot make $point read-only"
done

for folder in $WRITABLE; do
    mount -t tmpfs -o mode=1777,nosuid,nodev writable "$folder"
done
# A checkout below one of them is hidden by now: it is shown where it was.
if [ ! -e "$tree" ]; then
    mkdir -p "$tree"
    mount --bind /mnt/tree "$tree"
    mount -o remount,bind,ro "$tree"
fi
# The cache holds compiled code, the other one what is halted: they must be their user's alone.
chown "$UID_INSIDE:$UID_INSIDE" /mnt/cache /mnt/state
chmod 0700 /mnt/cache /mnt/state

export HOME=/tmp TMPDIR=/tmp
export TICKSERVE_REGISTRY=/mnt/registry TICKSERVE_MODELS__COMPILED_CACHE=/mnt/cache
export TICKSERVE_HALTS__FOLDER=/mnt/state
exec setpriv --reuid "$UID_INSIDE" --regid "$UID_INSIDE" --clear-groups --no-new-privs \
    --inh-caps=-all --bounding-set=-all -- "$@"
