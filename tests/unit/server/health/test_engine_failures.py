"""Laws of an engine beyond hope: only the deep check's own failures, two with nothing answered between, convict it."""

import asyncio
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.health.engine_failures import EngineFailures
from server.inference.batch_run import BatchRun


def run(*, failed: bool, probe: bool = False) -> BatchRun:
    """Returns an engine call."""
    model: Any = None
    return BatchRun(
        batch_id=1,
        model=model,
        size=1,
        started_at=0.0,
        engine_started_at=0.0,
        engine_ended_at=1.0,
        ended_at=1.0,
        device_duration=1.0,
        failed=failed,
        is_probe=probe,
    )


def watcher() -> EngineFailures:
    """Returns one that is only told."""

    async def check() -> None:
        raise AssertionError("nobody runs it")

    return EngineFailures(check=check, on_dead=lambda: None)


@given(st.lists(st.tuples(st.booleans(), st.booleans())))
def test_one_answer_acquits(calls: list[tuple[bool, bool]]) -> None:
    """Whatever has happened, after an answered call it is under no suspicion, and the same count begins anew."""
    failures = watcher()
    for failed, probe in calls:
        failures.batch_ended(run(failed=failed, probe=probe))
    failures.batch_ended(run(failed=False))
    assert not failures.is_suspect
    assert not failures.is_dead


def test_callers_alone_convict_nobody() -> None:
    """However many calls of theirs fail: a window that an engine cannot take must not end the process."""
    failures = watcher()
    for count in range(1, 500):
        failures.batch_ended(run(failed=True))
        assert failures.is_suspect == (count >= 3)
        assert not failures.is_dead


class Engine:
    """An engine that fails, its checks included, until it is mended.

    Attributes:
        checks: How often it was checked.
    """

    def __init__(self) -> None:
        self.checks = 0
        self.mended_at: int | None = None
        self.ended = 0
        self.sleeps = 0
        self.failures = EngineFailures(check=self.check, on_dead=self.end, sleep=self.sleep)

    async def check(self) -> None:
        """Is the deep check."""
        self.checks += 1
        self.failures.batch_ended(run(failed=self.checks != self.mended_at, probe=True))

    async def sleep(self, _seconds: float) -> None:
        """Takes no time; the tenth is cancelled."""
        self.sleeps += 1
        if self.sleeps == 10:
            raise asyncio.CancelledError

    def end(self) -> None:
        """Counts."""
        self.ended += 1


async def test_checks_that_fail_convict_once() -> None:
    """Under suspicion the engine is checked, and after two failures in vain the process is ended, once."""
    engine = Engine()
    for _ in range(3):
        engine.failures.batch_ended(run(failed=True))
    await engine.failures.run()
    assert (engine.checks, engine.ended) == (2, 1)


async def test_a_check_that_succeeds_ends_the_suspicion() -> None:
    """The engine was well, the windows were not: it is asked no more."""
    engine = Engine()
    engine.mended_at = 2
    for _ in range(3):
        engine.failures.batch_ended(run(failed=True))
    with pytest.raises(asyncio.CancelledError):
        await engine.failures.run()
    assert (engine.checks, engine.ended) == (2, 0)


async def test_without_failures_nothing_is_asked() -> None:
    """An engine that works, or is idle, is left alone."""
    engine = Engine()
    engine.failures.batch_ended(run(failed=True))
    with pytest.raises(asyncio.CancelledError):
        await engine.failures.run()
    assert engine.checks == 0
