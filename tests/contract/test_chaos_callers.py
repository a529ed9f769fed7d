"""The callers and the oracle of `benchmarks.chaos` against a real replica: right is right, and a mix-up is found."""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest

from benchmarks.chaos.caller import call
from benchmarks.chaos.experiment import oracle_of
from benchmarks.chaos.oracle import Oracle
from benchmarks.chaos.plan import Asked, CallerPlan
from benchmarks.chaos.record import End, Record, from_rows
from model.outputs import OUTPUT_NAMES, ModelOutputs
from model.torchscript_engine import TorchScriptEngine
from server.config.settings import Settings
from tests.support.registry import BAR_INTERVAL, make_registry
from tests.support.service import serving, settings_for

ENOUGH = 24
KINDS = {"real_time", "standard", "background", "tick"}
PATIENT = tuple(Asked(priority=name, rate=40.0, timeout=60.0) for name in ("real_time", "standard", "background"))
# The callers read a file of bars before they begin, as a process of their own may.
pytestmark = pytest.mark.timeout(240)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a stage, with its registry."""
    path = tmp_path_factory.mktemp("chaos")
    make_registry(path / "registry", versions=1)
    return path


@pytest.fixture(scope="module")
def oracle(folder: Path) -> Oracle:
    """Who knows the right answers."""
    return oracle_of(folder)[0]


@pytest.fixture(scope="module")
def settings(folder: Path) -> Settings:
    """The replica's: made here, because they look for files."""
    return settings_for(folder / "registry")


async def records_of(settings: Settings, spoil: AbstractContextManager[object] = nullcontext()) -> list[Record]:  # noqa: B008
    """Returns what callers see of one replica until each kind has been asked so often.

    Args:
        settings: The replica's.
        spoil: Entered when the replica is up: its quality gate would find it out.
    """
    counts = Counter[str]()
    stop = asyncio.Event()

    def heard(record: Record) -> None:
        counts[record.kind] += 1
        if len(counts) == len(KINDS) and min(counts.values()) >= ENOUGH:
            stop.set()

    async with serving(settings) as service:
        plan = CallerPlan(
            target=service.target,
            unary=PATIENT,
            symbols=(1, 2),
            streams=2,
            tick_interval=0.02,
            bar_interval=BAR_INTERVAL,
            first_seed=0,
        )
        with spoil:
            document: dict[str, Any] = await call(plan, stop, heard=heard)
    assert document["lost_streams"] == []
    return list(from_rows(document["records"]))


async def test_a_replica_that_is_right_is_found_right(settings: Settings, oracle: Oracle) -> None:
    """Unary calls of all classes and ticks: each has one end, all are answered, and the oracle finds no fault."""
    records = await records_of(settings)
    assert {record.kind for record in records} == KINDS
    assert {record.end for record in records} == {End.ANSWERED}
    assert len({record.key for record in records}) == len(records)
    assert oracle.wrong(records) == []


async def test_a_replica_that_mixes_up_answers_is_found_out(settings: Settings, oracle: Oracle) -> None:
    """The first of each batch gets the first answer of the batch before: right answers, but somebody else's."""
    compute = TorchScriptEngine.run
    before: list[ModelOutputs] = []
    batches = 0

    def mixed_up(self: TorchScriptEngine, windows: Any) -> ModelOutputs:
        nonlocal batches
        batches += 1
        outputs = compute(self, windows)
        before.append(outputs)
        if len(before) == 1:
            return outputs
        earlier = before.pop(0)
        parts = (np.concatenate([getattr(earlier, name)[:1], getattr(outputs, name)[1:]]) for name in OUTPUT_NAMES)
        return ModelOutputs(*parts)

    records = await records_of(settings, mock.patch.object(TorchScriptEngine, "run", mixed_up))
    # One in each batch, but for the very first; no other.
    assert len(oracle.wrong(records)) == batches - 1
