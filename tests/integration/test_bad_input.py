"""Bad input over a real socket, through HAProxy and Ray Serve: typed, bounded, and nobody else notices."""

import asyncio
from pathlib import Path
from typing import Any, TypeAlias

import grpc
import numpy as np
import pytest

from server.config.settings import Settings
from tests.integration.conftest import Service
from tests.support.bad_input import BAD_INPUTS, MAX_REQUEST_BYTES, BadInput
from tests.support.raw_client import provoke
from tickserve import AsyncClient, Client
from tickserve.v1.prediction_service_pb2 import PredictRequest, PredictResponse

Predict: TypeAlias = "grpc.aio.UnaryUnaryMultiCallable[Any, Any]"
PREDICT = "/tickserve.v1.PredictionService/Predict"


@pytest.mark.parametrize("case", [pytest.param(case, id=case.name) for case in BAD_INPUTS])
async def test_refusals_are_typed(service: Service, case: BadInput) -> None:
    """Each kind of bad input gets the code, reason and field that the contract promises, through proxy and Ray too."""
    async with grpc.aio.insecure_channel(service.target) as channel:
        refused = await provoke(channel, case)
    assert (refused.code, refused.domain, refused.reason) == (case.code, "tickserve", case.reason)
    assert refused.metadata.items() >= case.metadata.items()
    if case.code is grpc.StatusCode.INVALID_ARGUMENT:
        assert refused.fields == (case.field,)


async def test_over_the_transport_limit_is_refused_plainly(service: Service) -> None:
    """A message above the transport's limit ends its own RPC with RESOURCE_EXHAUSTED, and the channel lives."""
    too_large = b"\0" * (Settings.model_fields["transport_max_message_bytes"].default + 1024)
    async with grpc.aio.insecure_channel(service.target) as channel:
        predict: Predict = channel.unary_unary(PREDICT)
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await predict(too_large, timeout=20)
        assert refused.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        with pytest.raises(grpc.aio.AioRpcError) as typed:
            await predict(PredictRequest().SerializeToString(), timeout=20)
        assert typed.value.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_memory_does_not_grow_with_refused_messages(service: Service) -> None:
    """Hundreds of megabytes of refused messages leave the replica as large as it was."""
    limit = MAX_REQUEST_BYTES
    payloads = [b"\xff" * limit, b"\0" * (limit + 1), PredictRequest(request_id="x" * (limit - 64)).SerializeToString()]

    async def flood(predict: Predict, count: int) -> None:
        for _ in range(count):
            for payload in payloads:
                with pytest.raises(grpc.aio.AioRpcError) as refused:
                    await predict(payload, timeout=20)
                assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT

    async with grpc.aio.insecure_channel(service.target) as channel:
        predict: Predict = channel.unary_unary(PREDICT)
        await asyncio.gather(*(flood(predict, 3) for _ in range(4)))  # lets buffers reach their size
        grown: list[float] = []
        # How many are in memory at once is a matter of timing, and buffers may grow once more; what was kept of each
        # message would be there after every flood.
        while not grown or (min(grown) >= 50 and len(grown) < 3):
            before = resident_megabytes(service.replica_pid())
            await asyncio.gather(*(flood(predict, 8) for _ in range(4)))  # 96 messages of 4 MB
            grown.append(resident_megabytes(service.replica_pid()) - before)
    assert min(grown) < 50, grown


async def test_others_are_served_meanwhile(service: Service) -> None:
    """While one caller sends nothing but garbage, another's calls all succeed."""
    window = np.zeros((50, 60), np.float32)
    stop = asyncio.Event()

    async def garbage() -> int:
        sent = 0
        async with grpc.aio.insecure_channel(service.target) as channel:
            predict: Predict = channel.unary_unary(PREDICT, response_deserializer=PredictResponse.FromString)
            while not stop.is_set():
                with pytest.raises(grpc.aio.AioRpcError):
                    await predict(b"\x0a\xff\xff", timeout=20)
                sent += 1
        return sent

    async with AsyncClient(service.target) as client:
        noise = asyncio.create_task(garbage())
        try:
            for _ in range(50):
                await client.predict(window, timeout=10)
        finally:
            stop.set()
        assert await noise > 0


def test_service_is_well_afterwards(service: Service) -> None:
    """After all of the above the service still says SERVING and has nothing left in its queue."""
    with Client(service.target) as client:
        assert client.health() == "SERVING"
        [replica] = client.statistics()
    assert replica.in_flight_count == 0
    assert all(entry.queued_count == 0 for entry in replica.classes)


def resident_megabytes(pid: int) -> float:
    """Returns the resident memory of a process, in MB."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    raise AssertionError(f"process {pid} has no VmRSS")
