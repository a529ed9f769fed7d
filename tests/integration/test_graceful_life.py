"""A replica's life behind the proxy: new settings cost no call, and one that can serve no more is replaced."""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.integration.conftest import Service, environment, serving
from tests.support.faults.sitecustomize import BLOCK, FAIL, HANG
from tests.support.registry import make_registry
from tests.support.waiting import wait_for
from tickserve import Client, TickserveError

FAULTS = Path(__file__).parents[1] / "support/faults"
PATIENCE = 120
# A machine at its limit may take seconds for an answer; what is counted is failures.
DEADLINE = 60
pytestmark = pytest.mark.timeout(3 * PATIENCE)


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The settings file of the service."""
    path = tmp_path_factory.mktemp("settings") / "tickserve.toml"
    path.write_text("stream_max_age = 3000\n")
    return path


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory, settings: Path) -> Iterator[Service]:
    """A service of one replica, which nobody can stand in for, with as many CPUs as the machine has: the default."""
    registry = make_registry(tmp_path_factory.mktemp("registry"), versions=1)
    env = environment(
        registry,
        PYTHONPATH=str(FAULTS),
        TICKSERVE_CONFIG=str(settings),
        TICKSERVE_ENGINE="torchscript",
        TICKSERVE_SCHEDULER__ENGINE_HANG_TIMEOUT="1",
        TICKSERVE_HEALTH__LOOP_TIMEOUT="5",
    )
    with serving(env, registry) as running:
        yield running


def window(sign: float = 0.0) -> NDArray[np.float32]:
    """Returns a window, float32 [50, 60], whose first value is a fault's sign."""
    made = np.zeros((50, 60), np.float32)
    made[0, 0] = sign
    return made


@contextmanager
def called(target: str) -> Iterator[list[str]]:
    """Makes one unary call after another, without retries, while the context is entered.

    Yields:
        Who answered each, or `failed: ` and why.
    """
    outcomes: list[str] = []
    stop = threading.Event()

    def call() -> None:
        with Client(target, default_timeout=DEADLINE, retry=None) as client:
            while not stop.wait(0.005):
                try:
                    outcomes.append(client.predict(window(), bypass_cache=True).execution.replica_id)
                except TickserveError as error:
                    outcomes.append(f"failed: {error}")

    threads = [threading.Thread(target=call) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        yield outcomes
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def test_live_settings_cost_no_call(alone: Service, settings: Path) -> None:
    """Under load, without retries, the replica takes settings while it serves; once the proxy missed it meanwhile."""
    with called(alone.target) as outcomes:
        wait_for(lambda: len(outcomes) > 20, timeout=PATIENCE)
        for most in (61, 62, 63):
            settings.write_text(f"stream_max_age = 3000\nmax_windows_per_request = {most}\n")
            alone.output.clear()
            os.kill(alone.process.pid, signal.SIGHUP)
            wait_for(lambda: "tickserve reconfigured" in "".join(alone.output), timeout=PATIENCE)
            time.sleep(1.5)  # the proxy hears of changes a second late
    assert [outcome for outcome in outcomes if outcome.startswith("failed")] == []
    assert len(set(outcomes)) == 1
    with Client(alone.target, retry=None) as client, pytest.raises(TickserveError, match="63"):
        client.predict_batch([window()] * 64)


def test_new_settings_cost_no_call(alone: Service, settings: Path) -> None:
    """Under load, without retries, the one replica makes way for another: it starts first, and no call fails."""
    former = alone.replica_pid()
    with called(alone.target) as outcomes:
        wait_for(lambda: len(outcomes) > 20, timeout=PATIENCE)
        settings.write_text("stream_max_age = 2999\n")
        os.kill(alone.process.pid, signal.SIGHUP)
        wait_for(lambda: former not in alone.replica_pids(), timeout=PATIENCE)
        count = len(outcomes)
        wait_for(lambda: len(outcomes) > count + 20, timeout=PATIENCE)
    assert [outcome for outcome in outcomes if outcome.startswith("failed")] == []
    assert len(set(outcomes)) == 2


@pytest.mark.parametrize(
    ("sign", "calls"), [(HANG, 1), (FAIL, 4), (BLOCK, 1)], ids=["hung engine", "failing engine", "blocked loop"]
)
def test_what_can_serve_no_more_is_replaced(
    alone: Service,
    sign: float,
    calls: int,
    request: pytest.FixtureRequest,
    record_testsuite_property: Callable[[str, object], None],
) -> None:
    """An engine that hangs or always fails, and a loop that is blocked, end the process; how long it took is recorded.

    The members of a hung or failed batch are told so in the service's own words.
    """
    with Client(alone.target, default_timeout=DEADLINE, retry=None) as client:
        first = client.predict(window()).execution.replica_id
        began = time.monotonic()
        for _ in range(calls):
            with pytest.raises(TickserveError) as failed:
                client.predict(window(sign), bypass_cache=True, timeout=30)
            if sign != BLOCK:
                assert failed.value.reason == "INFERENCE_FAILED"

        def answers() -> bool:
            try:
                return client.predict(window(), timeout=5).execution.replica_id != first
            except TickserveError:
                return False

        wait_for(answers, timeout=PATIENCE)
        took = round(time.monotonic() - began, 1)
    record_testsuite_property(f"{request.node.callspec.id.replace(' ', '_')}_seconds_until_replaced", took)
