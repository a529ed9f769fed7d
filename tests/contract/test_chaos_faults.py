"""Faults of `benchmarks.chaos` that talk to the service themselves, against a replica without Ray."""

from __future__ import annotations

import asyncio
import socket
from types import SimpleNamespace
from typing import Any

import pytest

from benchmarks.chaos.faults.fault import Fault
from benchmarks.chaos.faults.scaling import Scaled
from benchmarks.chaos.faults.strangers import Http1, IdleConnections, RandomBytes, SlowLoris
from server.config.settings import Settings
from tests.support.registry import make_registry
from tests.support.service import serving, settings_for
from tickserve import AsyncClient

pytestmark = pytest.mark.timeout(240)


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """A small replica's."""
    return settings_for(make_registry(tmp_path_factory.mktemp("registry"), versions=1))


def stage_at(target: str) -> Any:
    """A stage that can be scaled, which changes nothing, and has one proxy."""
    return SimpleNamespace(
        target=SimpleNamespace(address=target),
        serves=lambda: True,
        scale=lambda _: None,
        await_count=lambda _: None,
        await_whole=lambda: None,
        pids=lambda _: [1],
        memory=lambda: {"haproxy": 1 << 20},
    )


async def test_streams_are_held_while_replicas_come_and_go(settings: Settings) -> None:
    """As many as asked for are open at the beginning and at the end, and none is left."""
    fault = Scaled(events=2, streams=12)
    async with serving(settings) as service:
        stage = stage_at(service.target)
        await asyncio.to_thread(fault.inject, stage)
        await asyncio.to_thread(fault.heal, stage)
    assert fault.facts["streams opened"] == fault.facts["streams open at the end"] == "12"
    assert fault.facts["HAProxy processes"] == "1 before, 1 at most, 1 at the end"


@pytest.mark.parametrize(
    "fault", [SlowLoris(8), IdleConnections(8), RandomBytes(), Http1()], ids=lambda each: each.name
)
async def test_strangers_disturb_nobody(settings: Settings, fault: Fault) -> None:
    """They get in, a client beside them is served, and they go."""
    async with serving(settings) as service, AsyncClient(service.target) as client:
        stage = stage_at(service.target)
        await asyncio.to_thread(fault.inject, stage)
        assert await client.models()
        await asyncio.to_thread(fault.heal, stage)
    assert fault.facts["a new client is served meanwhile"] == "yes"


async def test_strangers_sent_away_while_they_come_leave_nothing_open(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each connection made is closed, also the one made in the moment they are told to go."""
    made: list[socket.socket] = []
    connect = IdleConnections._connect

    def connect_then_be_sent_away(fault: IdleConnections) -> socket.socket | None:
        connection = connect(fault)
        assert connection is not None
        made.append(connection)
        fault._stop.set()
        return connection

    monkeypatch.setattr(IdleConnections, "_connect", connect_then_be_sent_away)
    fault = IdleConnections(8)
    async with serving(settings) as service:
        stage = stage_at(service.target)
        await asyncio.to_thread(fault.inject, stage)
        await asyncio.to_thread(fault.heal, stage)
    assert [connection.fileno() for connection in made] == [-1]
