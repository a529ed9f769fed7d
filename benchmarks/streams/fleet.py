"""The streams of one generator: opened, their windows filled with history, closed. What is sent is the driver's."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial

import grpc

from benchmarks.streams.bars import BarSource, symbol_name
from benchmarks.streams.lane import Lane
from benchmarks.streams.plan import StreamPlan
from benchmarks.streams.tick_call import StreamFailedError, TickCall
from tickserve.channel import channel_options
from tickserve.v1.prediction_service_pb2 import StreamTicksResponse

_FILL_TIMEOUT = 300.0


class Fleet:
    """All streams of a plan.

    Args:
        plan: How many, with which symbols.
        source: Makes the history.
        on_response: Called with the kind of each response, and the response, once the windows are full.

    Attributes:
        lanes: By symbol, in the order in which an open loop serves them: neighbours lie on different streams.
        bar_interval: Of the model, seconds.
        channels: That carry the streams; unary calls may share them.
    """

    def __init__(
        self, plan: StreamPlan, source: BarSource, *, on_response: Callable[[str, StreamTicksResponse], None]
    ) -> None:
        self._plan = plan
        self._source = source
        self._on_response = on_response
        self._calls: dict[str, TickCall] = {}
        self._streams: list[TickCall] = []
        self._unfilled: set[str] = set()
        self._is_filled = False
        self._changed = asyncio.Event()
        self._failure: StreamFailedError | None = None
        self.lanes: dict[str, Lane] = {}
        self.bar_interval = 0.0
        # One connection each, however many there are: as the client library opens them.
        self.channels = [
            grpc.aio.insecure_channel(plan.target, options=channel_options()) for _ in range(plan.connections)
        ]

    async def open(self) -> None:
        """Opens all streams, side by side.

        Raises:
            StreamFailedError: One could not be opened.
        """
        plan = self._plan
        for index in range(plan.streams):
            channel = self.channels[index % plan.connections]
            identity = f"{plan.name}-{index}"
            self._streams.append(TickCall(channel, identity=identity, on_response=self._take, on_failure=self._fail))
        shares = [plan.numbers[index :: plan.streams] for index in range(plan.streams)]
        answers = await asyncio.gather(
            *(call.open(share, conflate=plan.conflate) for call, share in zip(self._streams, shares, strict=True))
        )
        states = {state.symbol: state for opened in answers for state in opened.symbols}
        self.bar_interval = answers[0].bar_interval.ToNanoseconds() / 1e9
        for number in plan.numbers:
            name = symbol_name(number)
            state = states[name]
            is_full = state.have >= state.need
            # Its history is `history` bars long, whose last one has that sequence.
            following = state.next_sequence if is_full else plan.history + 1
            self.lanes[name] = Lane(number, next_sequence=following, conflate=plan.conflate)
            self._calls[name] = self._streams[(number - plan.first_symbol) % plan.streams]
            if not is_full:
                self._unfilled.add(name)

    async def fill(self) -> int:
        """Sends the history of every window that is not full and waits until each is; returns how many there were.

        Raises:
            StreamFailedError: A history was refused, or a stream ended.
        """
        count = len(self._unfilled)
        for name in list(self._unfilled):
            self.send(name, partial(self._source.history, self.lanes[name].number, self._plan.history))
        async with asyncio.timeout(_FILL_TIMEOUT):
            while self._unfilled:
                self._changed.clear()
                await self._changed.wait()
                self.check()
        self._is_filled = True
        return count

    def send(self, symbol: str, make: Callable[[], bytes]) -> None:
        """Sends a message on the symbol's stream; it is made when its turn comes. Never waits."""
        self._calls[symbol].send(make)

    def check(self) -> None:
        """Tells whether all streams are as they should be.

        Raises:
            StreamFailedError: One is not.
        """
        if self._failure is not None:
            raise self._failure

    async def close(self) -> None:
        """Ends all streams and connections."""
        await asyncio.gather(*(call.close() for call in self._streams))
        for channel in self.channels:
            await channel.close()

    def _take(self, kind: str, response: StreamTicksResponse) -> None:
        if self._is_filled:
            self._on_response(kind, response)
        elif kind == "progress":
            progress = response.progress
            if progress.have >= progress.need:
                self._unfilled.discard(progress.symbol)
            else:
                self._fail(StreamFailedError(f"{self._plan.history} bars do not fill a window of {progress.need}"))
            if not self._unfilled:
                self._changed.set()
        elif kind not in ("heartbeat", "durable"):
            self._fail(StreamFailedError(f"while windows were filled came {response}"))

    def _fail(self, failure: StreamFailedError) -> None:
        self._failure = self._failure or failure
        self._changed.set()
