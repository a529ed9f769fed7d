"""A replica that leaves: its streams are told in time and end in good order, and those of the other go on."""

import asyncio
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import grpc
import pytest

from server.ingress import METHODS
from server.process_tree import descendants
from tests.integration.conftest import Service, environment, serving
from tests.support import messages as m
from tests.support.raw_client import Refused, read_error
from tests.support.waiting import wait_for
from tickserve import Client
from tickserve.v1.prediction_service_pb2 import StreamTicksResponse

GRACE = 4
# Ray Serve kills a replica after 60 s (`graceful_shutdown_timeout_s`). One that drains as it should is gone after the
# grace and a few seconds; the rest is for busy machines.
KILLED_AFTER = 55
MOST_STREAMS = 24
# Said one by one: shared out by the number of replicas, they would change with it, and replace every replica.
# Nobody comes back in this test, so that the replicas need not share their windows.
SETTINGS = (
    f"replica_cpus = 1\nengine_threads = 1\nstream_drain_grace = {GRACE}\nwindows.allow_split = true\nreplicas = "
)


@dataclass
class Heard:
    """What one stream was told.

    Attributes:
        kinds: Kinds of its messages, in order.
        end: How the server ended it; None if well.
    """

    kinds: list[str | None] = field(default_factory=list)
    end: Refused | None = None


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The settings file of the service."""
    path = tmp_path_factory.mktemp("settings") / "tickserve.toml"
    path.write_text(SETTINGS + "2\n")
    return path


@pytest.fixture(scope="module")
def pair(registry: Path, file: Path) -> Iterator[Service]:
    """A service of two replicas that reads its settings from a file."""
    env = environment(registry, TICKSERVE_CONFIG=str(file), TICKSERVE_ENGINE="torchscript")
    with serving(env, registry) as running:
        yield running


def replicas(service: Service) -> set[int]:
    """Returns the pids of all replicas."""
    found = set()
    for pid in descendants(service.process.pid):
        try:
            command = Path(f"/proc/{pid}/cmdline").read_bytes()
        except OSError:
            continue
        if command.startswith(b"ray::ServeReplica:tickserve"):
            found.add(pid)
    return found


def both_have_streams(client: Client) -> bool:
    """Tells whether each of two replicas serves a stream."""
    known = client.statistics()
    return len(known) == 2 and all(replica.open_stream_count for replica in known)


async def hold(service: Service, symbol: str, heard: Heard, *, leaves: bool) -> None:
    """Keeps a stream open to the end; leaves when it is asked to, or stays in spite of it."""
    async with grpc.aio.insecure_channel(service.target, options=[("grpc.use_local_subchannel_pool", 1)]) as channel:
        stream: grpc.aio.StreamStreamCall[bytes, bytes] = channel.stream_stream(METHODS["StreamTicks"])()
        await stream.write(m.opening(symbol).SerializeToString())
        try:
            async for data in stream:
                heard.kinds.append(StreamTicksResponse.FromString(data).WhichOneof("message"))
                if heard.kinds[-1] == "drain" and leaves:
                    await stream.done_writing()
        except grpc.aio.AioRpcError as error:
            heard.end = read_error(error)


async def test_streams_of_a_leaving_replica_are_told_and_end_in_good_order(pair: Service, file: Path) -> None:
    """Scaling down: each of its streams hears `drain` first; who stays is ended with DRAINING; nothing is killed."""
    heard: list[Heard] = []
    streams: list[asyncio.Task[None]] = []
    before = replicas(pair)
    assert len(before) == 2
    with Client(pair.target, default_timeout=10) as client:
        while not await asyncio.to_thread(both_have_streams, client):
            assert len(streams) < MOST_STREAMS, "one replica is given every stream"
            heard.append(Heard())
            number = len(streams)
            streams.append(asyncio.create_task(hold(pair, f"S{number}", heard[-1], leaves=number % 2 == 0)))
            await asyncio.to_thread(wait_for, lambda: heard[-1].kinds)
            await asyncio.sleep(0.5)  # replicas tell each other of their streams once a second
    await asyncio.to_thread(file.write_text, SETTINGS + "1\n")
    pair.process.send_signal(signal.SIGHUP)
    await asyncio.to_thread(wait_for, lambda: any("drain" in each.kinds for each in heard))
    told_at = time.monotonic()
    await asyncio.to_thread(wait_for, lambda: len(replicas(pair)) == 1, timeout=2 * KILLED_AFTER)
    assert time.monotonic() - told_at < KILLED_AFTER
    assert replicas(pair) < before

    ended = {number for number, stream in enumerate(streams) if stream.done()}
    assert 0 < len(ended) < len(streams)
    for number, each in enumerate(heard):
        if number not in ended:
            assert set(each.kinds) == {"opened"}  # of the replica that stays
        else:
            assert each.kinds[-1] == "drain"
            if number % 2 == 0:
                assert each.end is None
            else:
                assert each.end is not None
                assert (each.end.code, each.end.reason) == (grpc.StatusCode.UNAVAILABLE, "DRAINING")
    for stream in streams:
        stream.cancel()
    await asyncio.gather(*streams, return_exceptions=True)
