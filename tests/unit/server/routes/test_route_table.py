"""Laws of the routes in force: what they keep loaded, who stands in for whom, and what a change of settings undoes."""

import asyncio
import dataclasses
import logging

import pytest

from batching import PriorityClass
from model.model_config import ModelConfig
from server.config.live_settings import LiveSettings
from server.config.route_settings import RouteSettings
from server.refusal import Reason, Refusal
from server.routes.arm_statistics import Outcome
from server.routes.route_snapshot import ArmState
from server.routes.route_table import RouteTable
from server.routes.router import Arm
from tests.support.fakes import served_model, settle
from tests.support.registry import NAME, make_config
from tests.support.routed import FakePool, routes_settings

ONE, TWO, THREE = (served_model(version=version) for version in (1, 2, 3))


class Routes:
    """A table whose settings and time the test moves."""

    def __init__(self, pool: FakePool, route: RouteSettings | None) -> None:
        self.clock = 0.0
        self.live = LiveSettings(routes_settings(route))
        self.table = RouteTable(pool, self.live, clock=lambda: self.clock)

    def change(self, route: RouteSettings | None) -> None:
        """Puts another route, or none, in force."""
        self.live.change(routes_settings(route))
        self.table.reconfigure()

    async def stable(self) -> int:
        """Returns the version that answers."""
        return (await self.table.resolve("", 0)).model.version

    def states(self) -> dict[Arm, tuple[int, ArmState]]:
        """Returns version and state of each arm that there is."""
        [route] = self.table.snapshot()
        return {arm.arm: (arm.version, arm.state) for arm in route.arms}


def other_config(**network: object) -> ModelConfig:
    """Returns a configuration of another interface."""
    config = make_config()
    return dataclasses.replace(config, network=dataclasses.replace(config.network, **network))  # type: ignore[arg-type]


async def test_without_a_route_the_pool_decides() -> None:
    """The version that serves, or the one that is named."""
    routes = Routes(FakePool(ONE, TWO), None)
    assert await routes.stable() == 2
    target = await routes.table.resolve(NAME, 1)
    assert (target.model.version, target.route) == (1, None)


async def test_what_routes_name_is_kept_loaded() -> None:
    """From the start, after every change, and no longer than that."""
    pool = FakePool(ONE, TWO)
    routes = Routes(pool, RouteSettings(stable=1, candidate=2))
    assert pool.protected == {(NAME, 1), (NAME, 2)}
    routes.change(RouteSettings(stable=2, shadow=3))
    assert pool.protected == {(NAME, 2), (NAME, 3)}
    routes.change(None)
    assert pool.protected == frozenset()


async def test_a_version_that_is_named_is_not_routed() -> None:
    """Pinned is pinned, and `stable` is for those that name none, by the model's name or as the default."""
    routes = Routes(FakePool(ONE, TWO), RouteSettings(stable=1, candidate=2, percent=100))
    for name in ("", NAME):
        target = await routes.table.resolve(name, 0)
        assert (target.model.version, target.route is not None) == (1, True)
        target = await routes.table.resolve(name, 2)
        assert (target.model.version, target.route) == (2, None)


async def test_the_one_before_answers_until_stable_can() -> None:
    """A change of stable costs no request, whether the version comes late or never."""
    pool = FakePool(ONE)
    routes = Routes(pool, RouteSettings(stable=1))
    assert await routes.stable() == 1
    routes.change(RouteSettings(stable=2))
    assert await routes.stable() == 1
    assert 2 in pool.requested
    pool.served[2] = TWO
    assert await routes.stable() == 2
    del pool.served[2]  # quarantined, or forgotten
    assert await routes.stable() == 2


async def test_the_one_before_need_not_have_answered_yet() -> None:
    """It stands in by right, not by habit: the version that served before the first route does not."""
    pool = FakePool(ONE, TWO)
    routes = Routes(pool, None)
    routes.change(RouteSettings(stable=1))
    routes.change(RouteSettings(stable=3))
    assert await routes.stable() == 1


async def test_a_first_route_does_not_take_the_service_away() -> None:
    """What served without a route goes on until the route's version can."""
    pool = FakePool(TWO)
    routes = Routes(pool, None)
    routes.change(RouteSettings(stable=1))
    assert await routes.stable() == 2
    pool.served[1] = ONE
    assert await routes.stable() == 1


async def test_a_fresh_replica_answers_with_nothing_but_stable() -> None:
    """The version that was pinned away from must not answer because it is loaded first."""
    routes = Routes(FakePool(TWO), RouteSettings(stable=1))
    with pytest.raises(Refusal) as refused:
        await routes.stable()
    assert refused.value.reason is Reason.MODEL_NOT_FOUND


async def test_the_start_waits_for_stable(monkeypatch: pytest.MonkeyPatch) -> None:
    """As long as it is being loaded, and not for one that cannot be had."""
    monkeypatch.setattr("server.routes.route_table._START_INTERVAL", 0.0)
    pool = FakePool(TWO)
    pool.coming.add(1)
    routes = Routes(pool, RouteSettings(stable=1))
    start = asyncio.ensure_future(routes.table.start())
    await settle()
    assert not start.done()
    pool.served[1] = ONE
    await start
    assert await routes.stable() == 1


async def test_a_stable_version_that_cannot_be_had_is_told_of(caplog: pytest.LogCaptureFixture) -> None:
    """The start goes on: other models answer."""
    with caplog.at_level(logging.ERROR, "tickserve"):
        await Routes(FakePool(TWO), RouteSettings(stable=1)).table.start()
    assert "stable version 1" in caplog.text
    await Routes(FakePool(TWO), None).table.start()


async def test_an_arm_that_cannot_answer_is_passed_over(caplog: pytest.LogCaptureFixture) -> None:
    """Not loaded, the same as stable, or of another interface; the last is told of once."""
    pool = FakePool(TWO)
    routes = Routes(pool, RouteSettings(candidate=3, shadow=2))
    target = await routes.table.resolve("", 0)
    assert target.route is not None
    table, route = routes.table, target.route
    assert table.version(route, Arm.CANDIDATE, target.model) is None
    assert table.version(route, Arm.SHADOW, target.model) is None
    assert routes.states() == {
        Arm.STABLE: (2, ArmState.LIVE),
        Arm.CANDIDATE: (3, ArmState.UNLOADED),
        Arm.SHADOW: (2, ArmState.REDUNDANT),
    }
    pool.latest, pool.served[3] = 2, THREE
    assert table.version(route, Arm.CANDIDATE, target.model) is THREE
    pool.served[3] = served_model(version=3, config=other_config(class_labels=("sell", "hold", "run")))
    with caplog.at_level(logging.ERROR, "tickserve"):
        for _ in range(3):
            assert table.version(route, Arm.CANDIDATE, target.model) is None
    assert caplog.text.count("reads or tells something else") == 1
    assert routes.states()[Arm.CANDIDATE] == (3, ArmState.UNFIT)


def fail(routes: Routes, count: int) -> None:
    """Lets the candidate fail so often."""
    route = routes.table.routes[NAME]
    for _ in range(count):
        statistics = route.statistics[Arm.CANDIDATE]
        statistics.count(Outcome.ERROR)
        route.review(statistics)


async def test_a_bad_candidate_is_taken_back_and_told_of_once(caplog: pytest.LogCaptureFixture) -> None:
    """With the figures, at error level; the wish stays visible beside what is in force."""
    routes = Routes(FakePool(ONE, TWO), RouteSettings(stable=1, candidate=2, percent=20, min_requests=5))
    route = routes.table.routes[NAME]
    with caplog.at_level(logging.ERROR, "tickserve"):
        fail(routes, 4)
        assert route.percent == 20
        fail(routes, 3)
    assert route.percent == 0
    [record] = caplog.records
    assert record.levelno == logging.ERROR
    for shown in (NAME, "version 2", "from 20 %", "errors in 100.00% of 5", "2.00% are allowed"):
        assert shown in record.getMessage()
    routes.clock = 7.0
    [snapshot] = routes.table.snapshot()
    assert (snapshot.percent, snapshot.effective_percent, snapshot.rollback_age) == (20, 0, 7.0)
    assert routes.states()[Arm.CANDIDATE] == (2, ArmState.ROLLED_BACK)


async def test_only_a_change_of_its_route_brings_a_candidate_back() -> None:
    """Other settings may come and go; and it begins with a clean slate, else its old figures would end it at once."""
    wanted = RouteSettings(stable=1, candidate=2, percent=20, min_requests=5)
    routes = Routes(FakePool(ONE, TWO), wanted)
    route = routes.table.routes[NAME]
    fail(routes, 5)
    routes.change(wanted.model_copy())
    assert route.percent == 0
    routes.change(wanted.model_copy(update={"percent": 50.0}))
    assert route.percent == 50
    assert route.statistics[Arm.CANDIDATE].total.requests == 0
    fail(routes, 4)
    assert route.percent == 50
    fail(routes, 1)
    assert route.percent == 0


async def test_an_arm_keeps_its_figures_while_it_keeps_its_version() -> None:
    """A step from 20 to 50 % does not forget what was seen; another version does."""
    wanted = RouteSettings(stable=1, candidate=2, shadow=3, percent=20)
    routes = Routes(FakePool(ONE, TWO, THREE), wanted)
    route = routes.table.routes[NAME]
    for arm in Arm:
        route.statistics[arm].count(Outcome.ANSWERED, 0.1)

    def counts() -> list[int]:
        return [route.statistics[arm].total.requests for arm in Arm]

    routes.change(wanted.model_copy(update={"percent": 50.0}))
    assert counts() == [1, 1, 1]
    routes.change(wanted.model_copy(update={"candidate": 4}))
    assert counts() == [1, 0, 1]
    routes.change(wanted.model_copy(update={"stable": 5, "candidate": 4}))
    assert counts() == [0, 0, 1]
    routes.change(wanted.model_copy(update={"stable": 5, "candidate": 4, "window": 60.0}))
    assert counts() == [0, 0, 0]


async def test_what_an_earlier_candidate_did_does_not_count() -> None:
    """A call that ends after the change speaks of a version that is gone."""
    routes = Routes(FakePool(ONE, TWO), RouteSettings(stable=1, candidate=2, percent=20, min_requests=1))
    route = routes.table.routes[NAME]
    before = route.statistics[Arm.CANDIDATE]
    routes.change(RouteSettings(stable=1, candidate=3, percent=20, min_requests=1))
    before.count(Outcome.ERROR)
    route.review(before)
    assert route.rollback is None


def test_shadows_have_a_class_of_their_own() -> None:
    """Below all that callers can ask for."""
    assert max(PriorityClass) is PriorityClass.SHADOW
