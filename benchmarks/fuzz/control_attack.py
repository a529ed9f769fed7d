"""Damaged requests to the RPCs that change the service for everybody: afterwards all of it is undone, and it serves.

Knows of them what their descriptors say: what takes effect is looked up in `ListHalts` and ended by `Resume`.
"""

from __future__ import annotations

from typing import Any

from benchmarks.fuzz.corpus import REQUESTS, RESPONSES
from benchmarks.fuzz.doorway import Doorway
from benchmarks.fuzz.laws import LawBrokenError, refusal_of
from benchmarks.fuzz.round import Round
from benchmarks.fuzz.unary_attack import UNARY
from server.rpc.ingress import METHODS, STREAMED_METHODS

CONTROL = tuple(sorted(METHODS.keys() - STREAMED_METHODS - set(UNARY)))
"""The RPCs that are attacked here: all unary ones that nobody else attacks."""
_AT_ONCE = 32


async def attack_control(doorway: Doorway, the_round: Round) -> None:
    """Sends a round of them; none where there are no such RPCs.

    Raises:
        LawBrokenError: An outcome that must not be.
    """
    if not CONTROL:
        return
    for size in the_round.groups(_AT_ONCE):
        for _ in range(size):
            method = the_round.chance.choice(CONTROL)
            outcome = await doorway.call(method, the_round.damage(method))
            the_round.ended(method, "answered" if outcome.context.code is None else refusal_of(outcome.context))
        await _undo(doorway)


async def _undo(doorway: Doorway) -> None:
    """Ends every halt."""
    listed = await _answer(doorway, "ListHalts")
    for halt in listed.halts:
        await _answer(doorway, "Resume", scope=halt.scope)
    left = await _answer(doorway, "ListHalts")
    if left.halts:
        raise LawBrokenError(f"halts that cannot be ended: {left}")


async def _answer(doorway: Doorway, method: str, **fields: Any) -> Any:
    outcome = await doorway.call(method, REQUESTS[method](**fields).SerializeToString())
    if outcome.context.code is not None:
        raise LawBrokenError(f"{method} was refused: {refusal_of(outcome.context)}")
    return RESPONSES[method].FromString(outcome.responses[0])
