"""Streams of the client library on two replicas that share a real Redis, while all of these die: exactly once."""

import asyncio
import os
import random
import signal
import time
from collections.abc import Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path

import grpc
import pytest

from server.rpc.ingress import METHODS
from tests.integration.conftest import Service, environment, serving
from tests.support import messages as m
from tests.support.follower import PATIENCE, Follower, client_bars, digests
from tests.support.raw_client import Refused, read_error
from tests.support.redis_server import RedisServer, redis_server
from tests.support.registry import make_registry
from tests.support.tick_streams import row
from tests.support.waiting import wait_for
from tickserve import AsyncClient, AsyncTickStream, PreconditionError, Prediction, TickFailure, TickPrediction
from tickserve.v1.prediction_service_pb2 import StreamTicksResponse

# Said one by one: shared out by the number of replicas, they would change with it, and replace every replica.
SETTINGS = "replica_cpus = 1\nengine_threads = 1\nreplicas = "
# Due predictions that a replica computes again have no deadline but the default; here none may be missed.
PATIENT = {f"TICKSERVE_DEFAULT_TIMEOUTS__{name}": "120" for name in ("REAL_TIME", "STANDARD", "BACKGROUND")}
MOST_TRIES = 24
pytestmark = pytest.mark.timeout(4 * PATIENCE)
# Ray Serve kills a replica after 60 s (`graceful_shutdown_timeout_s`). One that drains as it should is gone after the
# grace and a few seconds; the rest is for busy machines.
KILLED_AFTER = 55


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """The Redis that both replicas share; it keeps nothing on disk."""
    with redis_server(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The settings file of the service."""
    path = tmp_path_factory.mktemp("settings") / "tickserve.toml"
    path.write_text(SETTINGS + "2\n")
    return path


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A registry with a model that is loaded and answers quickly: what counts here are the windows."""
    return make_registry(tmp_path_factory.mktemp("registry"), versions=1)


@pytest.fixture(scope="module")
def pair(small: Path, redis: RedisServer, file: Path) -> Iterator[Service]:
    """A service of two replicas."""
    env = environment(
        small,
        TICKSERVE_CONFIG=str(file),
        TICKSERVE_ENGINE="torchscript",
        TICKSERVE_WINDOWS__STORE="redis",
        TICKSERVE_WINDOWS__REDIS_URL=redis.url,
        TICKSERVE_WINDOWS__READ_TIMEOUT="5",
        TICKSERVE_STREAM_DRAIN_GRACE="4",
        **PATIENT,
    )
    with serving(env, small) as running:
        yield running


def pid_of(service: Service, replica_id: str) -> int:
    """Returns the pid of a replica: the one that writes its log."""
    [pid] = [pid for pid in service.replica_pids() if any(replica_id in name for name in open_files(pid))]
    return pid


def open_files(pid: int) -> list[str]:
    """Returns the names of a process's open files."""
    names = []
    for link in Path(f"/proc/{pid}/fd").iterdir():
        try:
            names.append(os.readlink(link))
        except OSError:
            continue  # closed meanwhile
    return names


async def test_each_prediction_comes_once_though_replicas_are_killed(pair: Service) -> None:
    """Twice, at any moment, the replica of a stream is killed; the client hears of nothing, and misses nothing."""
    stage = 30
    starts = {f"KILLED{number}": 7 * number for number in range(3)}
    async with AsyncClient(pair.target) as client, Follower(client, starts) as follower:
        await follower.feed(stage)
        for kill in (1, 2):
            at = follower.count + random.randint(1, 2 * stage)
            await follower.until(lambda at=at: follower.count >= at)  # type: ignore[misc]  # a default binds it now
            feeding = asyncio.create_task(follower.feed(stage))
            await follower.until(lambda: follower.replica_id)
            os.kill(pid_of(pair, follower.replica_id), signal.SIGKILL)
            await feeding
            await follower.until(lambda kill=kill: follower.stream.reconnect_count >= kill)  # type: ignore[misc]
        await follower.finish()
    follower.check()
    assert follower.count == len(starts) * 3 * stage


async def test_a_redis_that_dies_costs_nothing_while_replicas_live(pair: Service, redis: RedisServer) -> None:
    """Without the Redis streams go on; when it is back, and empty, it is filled again, for every replica to read."""
    await asyncio.to_thread(wait_for, lambda: len(pair.replica_pids()) == 2, timeout=PATIENCE)
    starts = {"WRITTEN": 0, "AGAIN": 11}
    async with AsyncClient(pair.target) as client, Follower(client, starts) as follower:
        await follower.feed(5)
        await follower.until(lambda: set(follower.durable.values()) == {5})
        await asyncio.to_thread(redis.stop)
        await follower.feed(5)
        await follower.until_answered()
        assert set(follower.durable.values()) == {5}
        await asyncio.to_thread(redis.start)
        await follower.feed(5)
        await follower.until(lambda: set(follower.durable.values()) == {15})
        await follower.finish()
        follower.check()
    seen = set[str]()
    async with asyncio.timeout(PATIENCE):
        while len(seen) < 2:  # connected anew each time: a connection may be an older proxy's, which knows one replica
            async with AsyncClient(pair.target, default_timeout=60) as client:
                answer = await client.predict(symbol="AGAIN", bypass_cache=True)
            assert (answer.input.sha256, answer.input.last_sequence) == (digests()[11 + 14], 15)
            seen.add(answer.execution.replica_id)
    async with AsyncClient(pair.target, default_timeout=60) as client:
        for _ in range(4):  # whoever answers
            with pytest.raises(PreconditionError) as stale:
                await client.predict(symbol="AGAIN", max_age=60)
            assert stale.value.reason == "WINDOW_STALE"


async def next_prediction(stream: AsyncTickStream) -> Prediction:
    """Returns the next prediction of a stream."""
    async with asyncio.timeout(PATIENCE):
        async for event in stream:
            if isinstance(event, TickPrediction):
                return event.prediction
    raise EOFError("the stream ended")


async def next_failure(stream: AsyncTickStream) -> str:
    """Returns the reason of the next refusal that a stream hears of, or of what ended it."""
    async with asyncio.timeout(PATIENCE):
        async for event in stream:
            if isinstance(event, TickFailure):
                return event.error.reason
    raise EOFError("the stream ended")


async def test_writers_on_two_replicas_make_one_history(pair: Service) -> None:
    """Who opens a symbol takes it over, from another replica, too; the former is told, and writes nothing more."""
    bars = client_bars(200)
    number = 119
    seen: list[str] = []
    async with AsyncExitStack() as stack:
        before = None
        while len(set(seen)) < 2:
            assert len(seen) < MOST_TRIES, "one replica is given every stream"
            client = await stack.enter_async_context(AsyncClient(pair.target))
            stream = await stack.enter_async_context(client.stream_ticks(["CONTESTED"], open_timeout=60))
            if not seen:
                await stream.history("CONTESTED", bars[:number])
            else:
                assert stream.opened.symbols["CONTESTED"].sequence == len(seen)
            await stream.tick("CONTESTED", bars[number])
            number += 1
            answer = await next_prediction(stream)
            assert (answer.input.sha256, answer.input.last_sequence) == (digests()[len(seen)], len(seen) + 1)
            seen.append(answer.execution.replica_id)
            if before is not None:
                await before.tick("CONTESTED", bars[number])  # in vain
                assert await next_failure(before) == "SYMBOL_NOT_OPEN"
            before = stream
        answer = await client.predict(symbol="CONTESTED", timeout=60)
        assert (answer.input.sha256, answer.input.last_sequence) == (digests()[len(seen) - 1], len(seen))


@dataclass
class Held:
    """A stream that is only held open.

    Attributes:
        leaves: Whether it ends when it is asked to, or stays in spite of it.
        kinds: Kinds of the messages that it was told, in order, from the first answer on.
        replica_id: Which replica it is on; empty until that has answered.
        end: How the server ended it; None if well.
    """

    leaves: bool
    kinds: list[str | None] = field(default_factory=list)
    replica_id: str = ""
    end: Refused | None = None

    async def run(self, service: Service, symbol: str) -> None:
        """Holds it, to the end."""
        local = [("grpc.use_local_subchannel_pool", 1)]
        async with grpc.aio.insecure_channel(service.target, options=local) as channel:
            stream: grpc.aio.StreamStreamCall[bytes, bytes] = channel.stream_stream(METHODS["StreamTicks"])()
            await stream.write(m.opening(symbol).SerializeToString())
            for number in range(1, 61):
                await stream.write(row(symbol, number).SerializeToString())
            try:
                async for data in stream:
                    await self._hear(stream, StreamTicksResponse.FromString(data))
            except grpc.aio.AioRpcError as error:
                self.end = read_error(error)

    async def _hear(self, stream: "grpc.aio.StreamStreamCall[bytes, bytes]", message: StreamTicksResponse) -> None:
        kind = message.WhichOneof("message")
        if kind == "prediction":
            self.replica_id = message.prediction.prediction.execution.replica_id
        if self.replica_id and kind != "durable":
            self.kinds.append(kind)
        if kind == "drain" and self.leaves:
            await stream.done_writing()


async def test_streams_of_a_leaving_replica_are_told_and_go_on_elsewhere(pair: Service, file: Path) -> None:
    """Scaling down: each of its streams hears `drain` first; who stays is ended with DRAINING; nothing is killed.

    Streams of the client library go on, and get each prediction once.
    """
    await asyncio.to_thread(wait_for, lambda: len(pair.replica_pids()) == 2, timeout=PATIENCE)
    before = pair.replica_pids()
    followers: list[Follower] = []
    held: list[Held] = []
    tasks: list[asyncio.Task[None]] = []
    kinds: set[tuple[str, str]] = set()
    async with AsyncExitStack() as stack:
        # Each replica has one of each kind. Three at a time: where replicas take turns, kinds do not keep to one.
        while len(kinds) < 6:
            assert len(followers) < MOST_TRIES, f"streams are not shared out: {kinds}"
            number = len(followers)
            client = await stack.enter_async_context(AsyncClient(pair.target))
            follower = await stack.enter_async_context(Follower(client, {f"MOVED{number}": number}))
            followers.append(follower)
            await follower.feed(1)
            await follower.until_answered()
            kinds.add(("follows", follower.replica_id))
            for leaves in (True, False):
                one = Held(leaves=leaves)
                held.append(one)
                tasks.append(asyncio.create_task(one.run(pair, f"HELD{len(held)}")))
                await follower.until(lambda one=one: one.replica_id)  # type: ignore[misc]  # bound now
                kinds.add(("leaves" if leaves else "stays", one.replica_id))

        await asyncio.to_thread(file.write_text, SETTINGS + "1\n")
        pair.process.send_signal(signal.SIGHUP)
        await followers[0].until(lambda: any(follower.was_asked_to_leave for follower in followers))
        told_at = time.monotonic()
        while len(pair.replica_pids()) == 2:
            assert time.monotonic() - told_at < KILLED_AFTER
            if followers[0].fed < 300:
                await asyncio.gather(*(follower.feed(1) for follower in followers))
            await asyncio.sleep(0.2)
        assert pair.replica_pids() < before
        await asyncio.gather(*(follower.feed(3) for follower in followers))
        await asyncio.gather(*(follower.finish() for follower in followers))
    for follower in followers:
        follower.check()
    [staying] = {follower.replica_id for follower in followers}
    for follower in followers:
        assert follower.was_asked_to_leave == bool(follower.stream.reconnect_count)
    assert any(follower.was_asked_to_leave for follower in followers)
    for one, task in zip(held, tasks, strict=True):
        if one.replica_id == staying:
            assert not task.done()
            assert one.kinds == ["prediction"]
        else:
            await task
            assert one.kinds == ["prediction", "drain"]
            assert (one.end is None) == one.leaves
            if one.end is not None:
                assert (one.end.code, one.end.reason) == (grpc.StatusCode.UNAVAILABLE, "DRAINING")
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
