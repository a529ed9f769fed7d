"""Damaged metadata and HTTP requests at doors that ask for a key: nobody comes in without it, and nothing breaks."""

from __future__ import annotations

import base64
from collections.abc import Callable, Coroutine
from typing import Any

from starlette.types import ASGIApp

from benchmarks.fuzz.doorway import Doorway, Metadata
from benchmarks.fuzz.http_side import PATHS, check_request, http_app
from benchmarks.fuzz.laws import LawBrokenError, refusal_of
from benchmarks.fuzz.round import Round
from server.security.authorizer import Authorizer
from tests.support import messages as m
from tests.support.doors import EDGE_SECRET

_TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
_GOOD = m.predict(request_id="").SerializeToString()
_HTTP_METHODS = ("GET", "GET", "GET", "HEAD", "POST", "OPTIONS", "DELETE", "get", "", "\u00fc", "TRACE")


async def attack_metadata(doorway: Doorway, the_round: Round) -> None:
    """Makes valid calls with damaged metadata, and the good ones that belong to them.

    Raises:
        LawBrokenError: An outcome that must not be.
    """
    for _ in range(the_round.count):
        entries = _damaged(_valid(doorway.token), the_round)
        the_round.note("metadata", repr(entries).encode(), is_damaged=True)
        outcome = await doorway.call("Predict", _GOOD, metadata=entries)
        if outcome.context.code is not None:
            the_round.ended("metadata", refusal_of(outcome.context))
            continue
        the_round.ended("metadata", "answered")
        shown = [value if isinstance(value, str) else value.decode("latin-1") for _, value in entries]
        if doorway.edge_secret:
            # An identity that the edge vouches for stands for its key; without the edge's word nothing does.
            is_entitled = doorway.edge_secret in shown
        else:
            is_entitled = any(doorway.token in value for value in shown)
        if not is_entitled:
            raise LawBrokenError(f"let in without a key: {entries}")
    outcome = await doorway.call("Predict", _GOOD, metadata=_valid(doorway.token))
    if outcome.context.code is not None:
        raise LawBrokenError(f"the key's holder was refused: {refusal_of(outcome.context)}")


def http_attack(authorizer: Authorizer) -> Callable[[Doorway, Round], Coroutine[Any, Any, None]]:
    """Returns the attack on the HTTP side, behind the same door as the doorway that it is called with."""
    app = http_app(authorizer)

    async def attack(doorway: Doorway, the_round: Round) -> None:
        for _ in range(the_round.count):
            await _request(app, doorway.token, the_round)

    return attack


async def _request(app: ASGIApp, token: str, the_round: Round) -> None:
    chance, mutator = the_round.chance, the_round.mutator
    path = chance.choice(PATHS)
    if chance.random() < 0.5:
        path = "/" + mutator.text(path)
    basic = "Basic " + base64.b64encode(f"user:{token}".encode()).decode()
    entries = [*_valid(token), ("authorization", basic), ("if-none-match", '"x"'), ("accept-encoding", "gzip")]
    damaged = _damaged(chance.sample(entries, chance.randrange(len(entries))), the_round)
    # A server hands over bytes, and none of the controls that would end a header.
    headers = [
        (name.encode("utf-8", "replace"), value if isinstance(value, bytes) else value.encode("utf-8", "replace"))
        for name, value in damaged
    ]
    method, query = chance.choice(_HTTP_METHODS), chance.randbytes(chance.choice((0, 0, 3, 300)))
    the_round.note("http", repr((method, path, query, headers)).encode(), is_damaged=True)
    status = await check_request(
        app, method=method, path=path, query=query, headers=headers, body=chance.randbytes(50), token=token
    )
    the_round.ended("http", str(status))


def _valid(token: str) -> Metadata:
    return [
        ("authorization", f"Bearer {token}"),
        ("traceparent", _TRACE),
        ("x-tickserve-routing-key", "desk-1"),
        ("x-tickserve-edge-secret", EDGE_SECRET),
        ("x-tickserve-client-identity", "fuzz"),
        ("x-tickserve-client-address", "192.0.2.1"),
        ("user-agent", "grpc-python"),
    ]


def _damaged(entries: Metadata, the_round: Round) -> Metadata:
    chance, mutator = the_round.chance, the_round.mutator
    out = list(entries)
    for _ in range(chance.choice((1, 1, 2, 4))):
        if not out:
            break
        at = chance.randrange(len(out))
        name, value = out[at]
        match chance.randrange(7):
            case 0:
                del out[at]
            case 1:
                out.append((name, value if chance.random() < 0.5 else chance.choice(out)[1]))
            case 2:
                out[at] = (name, chance.randbytes(chance.choice((0, 5, 200))))
            case 3:
                out[at] = ("x-api-key", value)
            case 4:
                out.extend((f"x-{number}", "v") for number in range(chance.choice((1, 200))))
            case _:
                if isinstance(value, str):
                    out[at] = (name, mutator.text(value))
    return out
