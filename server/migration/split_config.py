"""The configuration of the HAProxy that splits the callers between the old service and the new: text from values.

Owns every directive and why it is there. Starts nothing, reads no file. Source of the directives: the HAProxy 2.8
configuration manual.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from server.edge.haproxy_config import SOCKET_FILE, quoted
from server.migration.split import BUCKETS, SAMPLE_ROW, SPLIT_ROW

MAP_FILE = "shares.map"
SIDE_HEADER = "x-migration-side"
"""Of every answer: `old`, `new`, `mirror`, or `fallback` where the old service answered for one that did not."""

NEW, OLD, MIRROR, FALLBACK = "new", "old", "mirror", "fallback"
KEY_HEADERS = ("x-tickserve-routing-key", "x-api-key", "authorization")
"""Who the caller is: the first of these that he sends, else his address."""

SHARED_PATHS = ("/ray-serve/", "/batch-optimized/")
"""What both services answer alike (docs/http.md); every other path is the old service's."""

_FAST_CHECK = "check inter 500ms fall 2 rise 2"
# A connection that fails takes the server out at once, so that the retry of the very request goes to the next one.
_WATCHED = "observe layer4 error-limit 1 on-error mark-down"


@dataclass(frozen=True, kw_only=True)
class SplitPlan:
    """What the split does.

    Attributes:
        folder: Where its map and its socket lie; no spaces.
        listen: `host:port` of the callers.
        old: `host:port` of the old service.
        new: `host:port` of tickserve's HTTP side.
        mirror: `host:port` of the mirror; None: nothing is mirrored.
        old_check: Path that the old service answers with 200 while it is well.
        timeout: Seconds that a service may take for an answer.
        max_connections: Most connections of all callers.
        threads: Threads of the process.
    """

    folder: Path
    listen: str
    old: str
    new: str
    mirror: str | None = None
    old_check: str = "/health"
    timeout: float = 60.0
    max_connections: int = 2000
    threads: int = 2


def render(plan: SplitPlan) -> str:
    """Returns the configuration file.

    Raises:
        ValueError: A value has a character that could end its word.
    """
    return "\n".join([*_global(plan), *_defaults(plan), *_frontend(plan), *_backends(plan), ""])


def _global(plan: SplitPlan) -> list[str]:
    return [
        "global",
        f"    maxconn {plan.max_connections}",
        f"    nbthread {plan.threads}",
        # The shares are changed through it, in the running process: no reload, so no connection ends for one.
        f"    stats socket {quoted(plan.folder / SOCKET_FILE)} mode 600 level admin",
        # A request that a dying service took with it is sent again only if the buffer still holds it whole: a window
        # as JSON has some 60 KB.
        "    tune.bufsize 131072",
    ]


def _defaults(plan: SplitPlan) -> list[str]:
    milliseconds = max(1, round(plan.timeout * 1000))
    return [
        "defaults",
        "    mode http",
        # Also what the first caller waits when a service has gone, before the other one is asked.
        "    timeout connect 500ms",
        "    timeout check 2s",
        "    timeout http-request 10s",
        f"    timeout client {milliseconds}ms",
        f"    timeout server {milliseconds}ms",
        "    option http-no-delay",
        "    option abortonclose",
        # Only a request that is here whole can be sent a second time.
        "    option http-buffer-request",
        # A prediction may be asked for twice. An answer is final, whatever it says: an overload is no crash.
        "    retries 3",
        "    retry-on conn-failure empty-response",
        "    option redispatch 1",
        # A service that goes closes all idle connections at once. Were they shared, each try could meet another one of
        # them, and none a refused connection, which is what marks the service as gone.
        "    http-reuse never",
    ]


def _frontend(plan: SplitPlan) -> list[str]:
    table = _word(plan.folder / MAP_FILE)
    first, *others = KEY_HEADERS
    lines = [
        "frontend callers",
        f"    bind {quoted(plan.listen)}",
        f"    http-request set-var(txn.key) req.fhdr({first})",
        *(
            f"    http-request set-var(txn.key) req.fhdr({name}) unless {{ var(txn.key) -m len gt 0 }}"
            for name in others
        ),
        "    http-request set-var-fmt(txn.key) %[src] unless { var(txn.key) -m len gt 0 }",
        # `server.migration.split.bucket_of` computes the same.
        f"    http-request set-var(txn.bucket) var(txn.key),sha2(256),hex,bytes(0,8),hex2i,mod({BUCKETS})",
        f"    http-request set-var(txn.split) str({SPLIT_ROW}),map_str_int({table},0)",
        f"    http-request set-var(txn.sample) str({SAMPLE_ROW}),map_str_int({table},0)",
        f"    acl shared path_beg {' '.join(SHARED_PATHS)}",
        f"    use_backend {NEW} if shared {{ var(txn.bucket),sub(txn.split) lt 0 }}",
    ]
    if plan.mirror is not None:
        lines.append(f"    use_backend {MIRROR} if shared METH_POST {{ rand({BUCKETS}),sub(txn.sample) lt 0 }}")
    return [*lines, f"    default_backend {OLD}"]


def _backends(plan: SplitPlan) -> list[str]:
    # Last resort: asked without a look at its health, for there is nobody else to ask.
    fallback = f"    server {FALLBACK} {quoted(plan.old)} backup"
    lines = [
        f"backend {NEW}",
        "    option httpchk GET /readyz",
        *_told(),
        f"    server {NEW} {quoted(plan.new)} {_FAST_CHECK} {_WATCHED}",
        fallback,
        f"backend {OLD}",
        f"    option httpchk GET {_word(plan.old_check)}",
        *_told(),
        # The health check of the old service computes something: it is asked for less often, and only told of.
        f"    server {OLD} {quoted(plan.old)} check inter 2s fall 3 rise 1",
        fallback,
    ]
    if plan.mirror is not None:
        lines += [
            f"backend {MIRROR}",
            *_told(),
            f"    server {MIRROR} {quoted(plan.mirror)} {_FAST_CHECK} {_WATCHED}",
            fallback,
        ]
    return lines


def _told() -> list[str]:
    return [f"    http-response set-header {SIDE_HEADER} %[srv_name]"]


def _word(value: object) -> str:
    """Returns a value that must stand inside an expression, where quotes do not help."""
    text = str(value)
    if quoted(value) and not set(text) & set(" \t,()'\"\\#%{}$"):
        return text
    raise ValueError(f"{text!r} cannot stand in the split's configuration")
