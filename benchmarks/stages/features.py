"""What the feature vector in the answer costs its caller: calls with it and without it, in turns on one connection."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Iterator

import numpy as np
import uvloop

from benchmarks.load.protocol import TickserveProtocol
from benchmarks.load.requests import RequestFactory
from benchmarks.load.transport import UnaryTransport
from benchmarks.peers.export import Material
from tickserve.v1.prediction_pb2 import PredictOptions
from tickserve.v1.prediction_service_pb2 import PredictRequest

IN_FLIGHT = (1, 8)
LENGTH = 256
_TIMEOUT = 10.0
_WARM_UP = 0.5
# Above all that the load generators send.
_FIRST_WINDOW = 5_000_000
# Two messages one after the other are one message with both one's fields.
_WITH_FEATURES = PredictRequest(options=PredictOptions(return_features=True)).SerializeToString()


class FeaturesError(RuntimeError):
    """A call failed, or its answer has a feature vector and should not, or the other way round."""


def measure(address: str, material: Material, *, seconds: float) -> dict[str, dict[str, list[float]]]:
    """Returns the latencies of calls, in milliseconds, by calls in flight, then `with` and `without` the vector.

    Args:
        address: Of the server.
        material: Windows to send.
        seconds: For each number of calls in flight.

    Raises:
        FeaturesError: See there.
    """
    return uvloop.run(_measure(address, material, seconds))


async def _measure(address: str, material: Material, seconds: float) -> dict[str, dict[str, list[float]]]:
    factory = RequestFactory(np.load(material.windows), priority="standard", feature_schema=material.feature_schema)
    transport = UnaryTransport(address, protocol=TickserveProtocol(), name="features", connections=1)
    numbers = itertools.count(_FIRST_WINDOW)
    results: dict[str, dict[str, list[float]]] = {}
    try:
        for in_flight in IN_FLIGHT:
            latencies: dict[str, list[float]] = {"with": [], "without": []}
            begin = time.monotonic() + _WARM_UP
            callers = (
                _call(transport, factory, numbers, lane, latencies, begin, begin + seconds) for lane in range(in_flight)
            )
            await asyncio.gather(*callers)
            results[str(in_flight)] = latencies
    finally:
        await transport.close()
    return results


async def _call(
    transport: UnaryTransport,
    factory: RequestFactory,
    numbers: Iterator[int],
    lane: int,
    latencies: dict[str, list[float]],
    begin: float,
    end: float,
) -> None:
    """One caller: a call after the other, every second one with the vector; keeps what began in the window."""
    for wanted in itertools.cycle((True, False) if lane % 2 else (False, True)):
        number = next(numbers)
        request = factory.make(number, request_id=str(number), timeout=_TIMEOUT)
        sent = time.monotonic()
        if sent >= end:
            return
        reply = await transport.exchange(lane, str(number), request + _WITH_FEATURES * wanted, _TIMEOUT)
        ended = time.monotonic()
        if reply.prediction is None:
            raise FeaturesError(f"a call ended with {reply.code} {reply.reason}")
        if len(reply.prediction.features) != LENGTH * wanted:
            raise FeaturesError(f"{len(reply.prediction.features)} features, asked for: {wanted}")
        if sent >= begin:
            latencies["with" if wanted else "without"].append(1e3 * (ended - sent))
