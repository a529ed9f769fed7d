"""Puts the same windows to both services and compares what they say: before any caller is moved, or mirrored.

Owns the order: each window goes to both, one after the other, and who is first changes from window to window, so that
neither always finds the machine warm.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import aiohttp
import numpy as np
import numpy.typing as npt

from server.migration.agreement import Agreement
from server.migration.mirror import OK, AskError, NewAnswer, count
from server.migration.mirror_proxy import ask
from server.migration.original_answers import PREDICT

Windows = npt.NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class Side:
    """One of the two services.

    Attributes:
        url: Without a path.
        headers: That requests carry.
    """

    url: str
    headers: Mapping[str, str]


def body_of(window: Windows) -> bytes:
    """Returns a window, float32 [features, steps], as the original's callers send it; each number exactly."""
    return json.dumps({"data": window.tolist()}).encode()


async def compare(windows: Windows, *, old: Side, new: Side, timeout: float, concurrency: int = 1) -> Agreement:
    """Puts windows to both services.

    Args:
        windows: float32 [n, features, steps].
        old: The one whose answers count as right.
        new: The one that is judged.
        timeout: Seconds for an answer.
        concurrency: Windows under way at once.
    """
    agreement = Agreement()
    numbered = iter(enumerate(windows))
    async with aiohttp.ClientSession() as session:
        await asyncio.gather(*(_some(session, numbered, (old, new), timeout, agreement) for _ in range(concurrency)))
    return agreement


async def _some(
    session: aiohttp.ClientSession,
    numbered: Iterator[tuple[int, Any]],
    sides: Sequence[Side],
    timeout: float,
    agreement: Agreement,
) -> None:
    for number, window in numbered:
        body = body_of(window)
        said: dict[int, NewAnswer] = {}
        for which in (0, 1) if number % 2 else (1, 0):
            headers = {"content-type": "application/json", **sides[which].headers}
            try:
                url = sides[which].url + PREDICT
                said[which] = await ask(session, url, body, headers, timeout=timeout, clock=time.perf_counter)
            except AskError as error:
                (agreement.new_failed if which else agreement.old_failed)(str(error))
        if len(said) < len(sides):
            continue
        if said[0].status != OK:
            agreement.old_failed(str(said[0].status))
        else:
            count(agreement, PREDICT, said[0].body, said[0].seconds, said[1])
