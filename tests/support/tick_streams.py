"""Tick streams without a socket, driven message by message, and what answers them: for tests of order and bounds."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator
from typing import Any

from batching import Batcher, ExpiredInQueueError, SchedulerConfig
from server.call import Call
from server.config.live_settings import LiveSettings
from server.config.scheduler_settings import ClassTimeouts
from server.config.settings import Settings
from server.inference.batch_runner import BatchRunner
from server.inference.computed_row import ComputedRow
from server.inference.halting_predictor import HaltingPredictor
from server.inference.predictor import Answer, PredictionTask, Predictor, Work
from server.refusal import Refusal
from server.routes.shadow_runner import AnswersTasks
from server.rpc.tick_service import TickService
from server.security.authorizer import Authorizer
from server.security.caller_limits import CallerLimits
from server.security.halt_view import Halts
from server.security.open_streams import OpenStreams
from server.windows.memory_window_store import MemoryWindowStore
from server.windows.window_store import WindowStore
from tests.support import messages as m
from tests.support.fakes import FakeEngine, served_model, settle
from tests.support.observed import watcher
from tests.support.raw_client import read_status
from tests.support.routed import FakePool, routed
from tests.support.windows import eventually
from tickserve.v1.prediction_service_pb2 import StreamTicksRequest, StreamTicksResponse
from tickserve.v1.tick_pb2 import FeatureRow

CALL = Call(method="/m", received_at=0.0)
NOW = 1_700_000_000.0
"""What the services' wall clock says."""
# Read here, before there is an event loop: it looks for a file.
_SETTINGS = Settings(
    max_in_flight_per_stream=4,
    default_timeouts=ClassTimeouts(real_time=60.0, standard=60.0, background=60.0),
    max_timeout=300.0,
    reply_margin=0.002,
)


def tick_service(
    predictor: AnswersTasks,
    store: WindowStore,
    /,
    *,
    engine: FakeEngine | None = None,
    halts: Halts | None = None,
    authorizer: Authorizer | None = None,
    **settings: Any,
) -> TickService:
    """Returns a service with four messages in flight, a minute for an answer, and other settings as told."""
    halts = halts or Halts(clock=predictor.now)
    live = LiveSettings(_SETTINGS.model_copy(update=settings))
    pool = FakePool(served_model(engine))
    return TickService(
        predictor=routed(HaltingPredictor(predictor, halts), pool),
        windows=store,
        live=live,
        watcher=watcher(now=predictor.now),
        limits=CallerLimits(lambda: live.current.limits),
        halts=halts,
        open_streams=OpenStreams(halts, authorizer),
        wall_clock=lambda: NOW,
    )


class FakePredictor:
    """Keeps what it is asked and answers when told to.

    Attributes:
        clock: What `now` says.
        tasks: What was asked.
        ends: One future for each task; its exception ends the task.
    """

    def __init__(self) -> None:
        self.clock = 1000.0
        self.tasks: list[PredictionTask] = []
        self.ends: list[asyncio.Future[Answer]] = []

    def now(self) -> float:
        """A time that only the test moves."""
        return self.clock

    async def predict(self, task: PredictionTask) -> Answer:
        """Waits for the test."""
        self.tasks.append(task)
        end: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self.ends.append(end)
        return await end

    def expire(self, *indices: int) -> None:
        """Ends tasks as expired, which needs no answer to be made; all that are left unless some are named."""
        for index in indices or range(len(self.ends)):
            if not self.ends[index].done():
                self.ends[index].set_exception(ExpiredInQueueError(1.0))


class HeldEngine:
    """A real scheduler with an engine that computes when it is let to.

    Attributes:
        engine: Computes at once while `gate` is set.
        gate: Holds the engine while it is clear, as at first.
        predictor: Sends tasks through the scheduler.
        batcher: The scheduler.
    """

    def __init__(self) -> None:
        self.engine = FakeEngine()
        self.gate = threading.Event()
        self.engine.wait = lambda: self.gate.wait(60)
        config = SchedulerConfig(max_batch_size=4)
        self.batcher: Batcher[Work, ComputedRow] = Batcher(BatchRunner(), config=config, bind=Work.bound)
        self.predictor = Predictor(self.batcher, replica_id="r")

    async def until_held(self, count: int = 1) -> None:
        """Returns when the engine has been given so many batches."""
        await eventually(lambda: len(self.engine.batches) >= count)


class ToldStore(MemoryWindowStore):
    """Keeps nothing durable until the test, or whoever flushes, says so.

    Attributes:
        flush_count: How often it was flushed.
    """

    flush_count = 0

    def say_durable(self) -> None:
        """Tells every holder that all is stored."""
        for held in self._held:
            held.tell_durable(held.window.last_sequence)

    async def flush(self) -> None:
        """Stores all."""
        self.flush_count += 1
        self.say_durable()


class Stream:
    """One open stream, driven message by message.

    Attributes:
        responses: All so far.
        read_count: Messages that the service has taken.
        may_read: While clear, the client takes no response.
        refusal: What ended the stream; None while it lives, or where it ended well.
        task: Ends with the stream; cancelled, the client is gone.
    """

    def __init__(self, service: TickService, call: Call = CALL) -> None:
        self._requests: asyncio.Queue[bytes | None] = asyncio.Queue()
        self._stream = service.stream_ticks(self._read(), call)
        self.responses: list[StreamTicksResponse] = []
        self.read_count = 0
        self.may_read = asyncio.Event()
        self.may_read.set()
        self.refusal: Refusal | None = None
        self.task = asyncio.get_running_loop().create_task(self._listen())

    async def _read(self) -> AsyncIterator[bytes]:
        while (request := await self._requests.get()) is not None:
            self.read_count += 1
            yield request

    async def _listen(self) -> None:
        try:
            async with contextlib.aclosing(self._stream):
                async for response in self._stream:
                    self.responses.append(response)
                    await self.may_read.wait()
        except Refusal as refusal:
            self.refusal = refusal

    async def send(self, *requests: StreamTicksRequest | bytes) -> list[str | None]:
        """Sends messages and returns the kinds of all responses so far."""
        for request in requests:
            self._requests.put_nowait(request if isinstance(request, bytes) else request.SerializeToString())
        # Where the machine is slow, each message is read in a turn of the loop of its own, and gives way once more.
        await settle(20 + 4 * len(requests))
        return self.kinds()

    async def fill(self, *symbols: str, **terms: Any) -> None:
        """Opens symbols and fills their windows, so that every further row, from 60 on, is due."""
        await self.send(m.opening(*symbols, **terms))
        for symbol in symbols:
            for sequence in range(1, 60):
                await self.send(row(symbol, sequence))

    def kinds(self) -> list[str | None]:
        """Returns the kinds of all responses so far."""
        return [response.WhichOneof("message") for response in self.responses]

    def of(self, kind: str) -> list[StreamTicksResponse]:
        """Returns all responses of one kind so far."""
        return [response for response in self.responses if response.WhichOneof("message") == kind]

    def errors(self) -> list[tuple[str, int, str]]:
        """Returns symbol, sequence and reason of all errors so far."""
        told = (response.error for response in self.of("error"))
        return [(error.symbol, error.sequence, read_status(error.error).reason) for error in told]

    def predictions(self) -> list[tuple[str, int, int, int]]:
        """Returns symbol, first sequence, sequence and number of conflated ones of all predictions so far."""
        told = (response.prediction for response in self.of("prediction"))
        return [(one.symbol, one.first_sequence, one.sequence, one.conflated_count) for one in told]

    async def half_close(self) -> None:
        """Ends the client's side."""
        self._requests.put_nowait(None)
        await settle()

    async def end(self) -> None:
        """Returns when the stream has ended, within a bound that a busy machine keeps to."""
        await asyncio.wait_for(self.task, 60)


def row(symbol: str, sequence: int, **fields: object) -> StreamTicksRequest:
    """Returns a tick with a ready row; sixty of them fill a window."""
    return m.tick(symbol, sequence, features=FeatureRow(values=[float(sequence)] * 50), **fields)
