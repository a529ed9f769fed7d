"""Laws of the watch: what the parts say is what probes hear, of the whole, the service and each loaded model."""

import asyncio
from unittest import mock

import pytest

from server.health.health import PREDICTION_SERVICE, Health
from server.health.health_watch import HealthWatch
from server.health.readiness import Blocker
from tests.support.fakes import settle


class Parts:
    """A scheduler and a pool of models in one, as the test wants them."""

    def __init__(self) -> None:
        self.alive = True
        self.has_hung = False
        self.keys: list[tuple[str, int]] = [("cnn_lstm", 1), ("cnn_lstm", 2), ("other", 7)]

    def loaded(self) -> list[tuple[str, int]]:
        """See `ModelPool`."""
        return self.keys

    def is_default(self, key: tuple[str, int]) -> bool:
        """See `ModelPool`."""
        return key == ("cnn_lstm", 2)


class Bench:
    """A watch between parts and health."""

    def __init__(self) -> None:
        self.parts = Parts()
        self.health = Health()
        self.watch = HealthWatch(self.health, scheduler=self.parts, models=self.parts)

    def serving(self) -> dict[str, bool]:
        """Returns what probes hear, by name."""
        self.watch.update()
        return {name: self.health.serving(name) for name in self.health.services()}


@pytest.fixture
def bench() -> Bench:
    """A replica that has started."""
    made = Bench()
    made.watch.started()
    return made


NAMES = {"", PREDICTION_SERVICE, "cnn_lstm", "other"}


def test_names_are_the_whole_the_service_and_each_model_once(bench: Bench) -> None:
    """Versions have no names of their own; a model that leaves memory is no service any more."""
    assert bench.serving() == dict.fromkeys(NAMES, True)
    bench.parts.keys.remove(("other", 7))
    assert bench.serving() == dict.fromkeys(NAMES - {"other"}, True)


def test_warm_up_is_not_serving() -> None:
    """Until start-up is over, though the model may be there already."""
    bench = Bench()
    assert bench.serving() == dict.fromkeys(NAMES, False)
    bench.watch.started()
    assert bench.serving() == dict.fromkeys(NAMES, True)


@pytest.mark.parametrize(
    ("name", "value", "blocker"), [("alive", False, Blocker.LOOP_DEAD), ("has_hung", True, Blocker.ENGINE_HUNG)]
)
def test_a_sick_scheduler_takes_all_names_with_it(bench: Bench, name: str, value: bool, blocker: Blocker) -> None:
    """Nothing is answered, whatever it is asked of."""
    setattr(bench.parts, name, value)
    assert bench.serving() == dict.fromkeys(NAMES, False)
    assert bench.watch.readiness().blockers == (blocker,)


def test_another_model_does_not_stand_in_for_the_default_one(bench: Bench) -> None:
    """While the default model is missing, the replica is not ready, though others are loaded."""
    bench.parts.keys = [("cnn_lstm", 1), ("other", 7)]
    assert bench.watch.readiness().blockers == (Blocker.MODEL_MISSING,)
    assert not any(bench.serving().values())


@pytest.mark.parametrize(("act", "blocker"), [("drain", Blocker.DRAINING), ("stop", Blocker.STOPPED)])
def test_probes_hear_of_the_end_at_once(bench: Bench, act: str, blocker: Blocker) -> None:
    """Without waiting for the next look; and it is for good."""
    getattr(bench.watch, act)()
    assert [bench.health.serving(name) for name in NAMES] == [False] * len(NAMES)
    assert bench.watch.readiness().blockers == (blocker,)
    assert bench.serving() == dict.fromkeys(NAMES, False)


async def test_changes_are_noticed_without_any_request(bench: Bench) -> None:
    """The loop looks again and again."""
    with mock.patch("server.health.health_watch._INTERVAL", 0):
        task = asyncio.create_task(bench.watch.run())
        for has_hung in (True, False):
            bench.parts.has_hung = has_hung
            await settle()
            assert bench.health.serving() != has_hung
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
