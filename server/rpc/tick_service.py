"""`tickserve.v1.PredictionService/StreamTicks`: ticks in, predictions out, windows kept on the server.

Owns the streams of this replica: how they are opened, answered, told to go elsewhere and ended. What one stream says is
`tick_stream`'s.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import logging
import math
import random
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable

from batching import ExpiredInQueueError
from server.call import Call
from server.config.live_settings import LiveSettings
from server.config.settings import Settings
from server.inference.predictor import Answer, PredictionTask, Work
from server.observation.request_watch import RequestWatch, RequestWatcher
from server.refusal import Reason, Refusal, draining
from server.routes.routed_predictor import RoutedPredictor
from server.routes.router import routing_key
from server.rpc.decode import read_priority
from server.rpc.decode_ticks import read_resume
from server.rpc.encode import write_prediction
from server.rpc.reading_turns import ReadingTurns
from server.rpc.tick_halts import TickHalts
from server.rpc.tick_stream import TickStream
from server.security.caller_limits import CallerLimits
from server.security.halt_view import Halts
from server.security.open_streams import OpenStreams
from server.ticks.pending_prediction import PendingPrediction
from server.ticks.place_expiry import PlaceExpiry
from server.ticks.session_terms import SessionTerms, check_symbol_list
from server.ticks.tick_counters import TickCounters
from server.ticks.tick_event import DuePrediction
from server.ticks.tick_session import TickSession
from server.windows.window_store import WindowStore
from tickserve.v1.prediction_pb2 import PredictOptions
from tickserve.v1.prediction_service_pb2 import StreamTicksResponse
from tickserve.v1.tick_pb2 import OpenStream, TickPrediction

logger = logging.getLogger("tickserve")

_DEFAULT_OPTIONS = PredictOptions()
# Streams that were opened together must not all come back together.
_AGE_JITTER = 0.1


class TickService:
    """Serves `StreamTicks`.

    Args:
        predictor: Finds models and answers due predictions.
        windows: Keeps the symbols' windows.
        live: Limits, and what deadlines follow from.
        watcher: Follows every due prediction to its end.
        limits: How much each caller may ask for.
        halts: What streams are told of halts; None: nothing is halted.
        open_streams: Ends the streams of callers who lose the right to them; None: all keep it.
        wall_clock: Seconds since the epoch; event times are measured against it.

    Attributes:
        counters: What the streams have done.
        wall_clock: Seconds since the epoch.
        watcher: Follows every due prediction to its end.
        limits: How much each caller may ask for.
        turns: Whose message is read next.
        halts: Tells streams what is halted.
    """

    def __init__(
        self,
        *,
        predictor: RoutedPredictor,
        windows: WindowStore,
        live: LiveSettings,
        watcher: RequestWatcher,
        limits: CallerLimits,
        halts: Halts | None = None,
        open_streams: OpenStreams | None = None,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        self._predictor = predictor
        self._windows = windows
        self._live = live
        self._streams: set[TickStream] = set()
        self._is_draining = False
        self._all_gone = asyncio.Event()
        self._all_gone.set()
        self.counters = TickCounters()
        self.wall_clock = wall_clock
        self.watcher = watcher
        self.limits = limits
        self.turns = ReadingTurns()
        halts = halts or Halts()
        self._open_streams = open_streams or OpenStreams(halts)
        self.halts = TickHalts(halts, lambda: self._streams)

    @property
    def open_stream_count(self) -> int:
        """Streams that are open."""
        return len(self._streams)

    @property
    def settings(self) -> Settings:
        """The settings in force."""
        return self._live.current

    async def stream_ticks(
        self, requests: AsyncIterator[bytes], call: Call
    ) -> AsyncGenerator[StreamTicksResponse, None]:
        """Serves one stream until a side has closed it and every due prediction is answered.

        Raises:
            Refusal: DRAINING where this side has closed it; RATE_LIMITED where the caller has too many open.
        """
        if self._is_draining:
            raise draining()
        stream = TickStream(self, call)
        with self.limits.stream(call), self._open_streams.held(call, stream.stop):
            self._streams.add(stream)
            self._all_gone.clear()
            limit = asyncio.get_running_loop().create_task(self._limit_age(stream))
            try:
                async with contextlib.aclosing(stream.responses.run(stream.read(requests))) as responses:
                    async for response in responses:
                        stream.last_sent = time.monotonic()
                        yield response
                if stream.is_ended:
                    raise draining()
            finally:
                limit.cancel()
                self._streams.discard(stream)
                if not self._streams:
                    self._all_gone.set()
                stream.close()
                await asyncio.gather(limit, return_exceptions=True)  # last: this may be cancelled

    async def drain(self, grace: float) -> None:
        """Asks every client to go elsewhere, and ends the streams that are left after `grace` seconds.

        New streams are refused with DRAINING from now on.
        """
        if self._is_draining:
            return
        self._is_draining = True
        logger.info("draining: %d tick streams are asked to go elsewhere within %g s", len(self._streams), grace)
        for stream in list(self._streams):
            stream.drain(grace)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(grace):
                await self._all_gone.wait()
        for stream in list(self._streams):
            stream.end()

    async def make_durable(self) -> None:
        """Has the store write what it has not, as far as it is there: the client hears of it before the stream ends."""
        with contextlib.suppress(Refusal, TimeoutError):
            async with asyncio.timeout(self.settings.windows.write_timeout):
                await self._windows.flush()

    async def open(
        self,
        message: OpenStream,
        call: Call,
        *,
        on_durable: Callable[[str, int], None],
        on_lost: Callable[[str], None],
    ) -> TickSession:
        """Begins a session.

        Raises:
            Refusal: A field is bad or names something unknown; the symbols cannot be had.
        """
        check_symbol_list(message.symbols, limit=self.settings.max_symbols_per_stream)
        if message.predict_every < 0:
            raise Refusal(Reason.INVALID_TICK, "predict_every must not be negative.", field="predict_every")
        priority = read_priority(message.priority)
        call.check_priority(priority)
        resume = read_resume(message.resume)
        target = await self._predictor.resolve(message.model.name, message.model.version)
        # A stream that is opened anew with the same symbols meets the same arm again.
        key = routing_key(call, symbol=",".join(sorted(message.symbols)), request_id="")
        terms = SessionTerms(
            assignment=self._predictor.assign(target, key),
            priority=priority,
            symbols=message.symbols,
            predict_every=message.predict_every or 1,
            predict_partial=message.predict_partial,
            conflate=message.conflate,
            resume=resume,
            owner=call.owner,
        )
        session = TickSession(terms, self._windows, self.counters, on_durable=on_durable, on_lost=on_lost)
        await session.open()
        return session

    def now(self) -> float:
        """Returns the monotonic clock that deadlines are measured on."""
        return self._predictor.now()

    def deadline(self, due: DuePrediction, session: TickSession, call: Call, *, received_at: float) -> float:
        """Returns until when a due prediction is of use, monotonic seconds.

        Args:
            due: What is to be answered.
            session: Whose it is.
            call: The stream's RPC.
            received_at: Receipt of the tick that made it due, monotonic seconds.
        """
        priority = session.terms.priority
        return self._live.deadlines.deadline(
            received_at=received_at,
            rpc_deadline=call.rpc_deadline,
            timeout=due.valid_duration or self._live.deadlines.default_timeouts[priority],
            priority=priority,
        )

    async def answer(
        self, pending: PendingPrediction, session: TickSession, call: Call, watch: RequestWatch
    ) -> TickPrediction:
        """Answers one due prediction, or the one that has taken its place by the time a batch is formed.

        Raises:
            Exception: Whatever ended it; the stream tells the client.
        """
        terms = session.terms
        task = PredictionTask(
            work=Work(
                window=pending.window,
                model=terms.model,
                late=pending if terms.conflate else None,
                trace=watch.sampled_trace,
            ),
            origin=pending.origin,
            priority=terms.priority,
            deadline=pending.deadline,
            received_at=pending.received_at,
            caller=call.caller,
            trace_id=watch.trace_id,
            shareable=True,
            key_id=call.key_id,
        )
        if terms.conflate:
            answer = await self._answer_newest(task, pending, terms, call)
        else:
            answer = await self._predictor.predict(task, terms.assignment)
        watch.answered(answer)
        due = pending.due
        return TickPrediction(
            symbol=due.symbol,
            sequence=due.sequence,
            first_sequence=pending.first_sequence,
            conflated_count=pending.conflated_count,
            partial=due.partial,
            prediction=write_prediction(answer, _DEFAULT_OPTIONS),
        )

    async def _answer_newest(
        self, task: PredictionTask, pending: PendingPrediction, terms: SessionTerms, call: Call
    ) -> Answer:
        """Keeps a place until a batch takes what is the newest in it then, or the newest is of no use any more.

        The scheduler is told only for how long the place may be kept: by the oldest one's time it would refuse or end
        the place, and with it newer ones that have time left; and those that came after, time and again.

        Raises:
            Exception: Whatever ended the newest.
        """
        kept_until = self._live.deadlines.deadline(
            received_at=pending.waiting_since,
            rpc_deadline=call.rpc_deadline,
            timeout=math.inf,
            priority=terms.priority,
        )
        try:
            async with asyncio.timeout(None) as limit:
                margin = self.settings.scheduler.max_batch_duration
                expiry = PlaceExpiry(pending, limit, now=self.now, margin=margin)
                try:
                    return await self._predictor.predict(
                        dataclasses.replace(task, deadline=kept_until), terms.assignment
                    )
                finally:
                    expiry.disarm()
        except TimeoutError:
            raise ExpiredInQueueError(self.now() - pending.received_at) from None

    async def _limit_age(self, stream: TickStream) -> None:
        """Moves a stream elsewhere at its greatest age: an old proxy process lives as long as its oldest stream."""
        limit = self.settings.stream_max_age * (1 - _AGE_JITTER * random.random())
        await asyncio.sleep(max(0.0, limit - stream.age))
        stream.drain(self.settings.stream_drain_grace)
        await asyncio.sleep(self.settings.stream_drain_grace)
        stream.end()
