"""`tickserve stats` shows how a rollout goes: each arm's figures, and a rollback with its reason."""

import pytest

from tests.unit.cli.conftest import Run
from tests.unit.client.fake_service import FakeService
from tests.unit.client.fake_statistics import milliseconds
from tickserve.v1 import model_service_pb2 as pb
from tickserve.v1 import prediction_pb2


def arm(role: pb.ArmRole.ValueType, version: int, state: pb.ArmState.ValueType, **recent: int) -> pb.ArmStatistics:
    """Returns an arm with the given figures in the window, twice as many in total."""
    figures = pb.ArmFigures(quantile_duration=milliseconds(7.5), **recent)  # type: ignore[arg-type]
    total = pb.ArmFigures(**{name: 2 * count for name, count in recent.items()})  # type: ignore[arg-type]
    model = prediction_pb2.ModelVersion(name="eurusd", version=version)
    return pb.ArmStatistics(role=role, model=model, state=state, recent=figures, total=total)


@pytest.fixture
def route(service: FakeService) -> pb.RouteStatistics:
    """The route that the service tells of."""
    route = pb.RouteStatistics(
        model_name="eurusd",
        percent=20,
        effective_percent=20,
        window_duration=milliseconds(300_000),
        arms=[
            arm(pb.ARM_ROLE_STABLE, 3, pb.ARM_STATE_LIVE, request_count=800, answered_count=800),
            arm(
                pb.ARM_ROLE_CANDIDATE,
                4,
                pb.ARM_STATE_LIVE,
                request_count=201,
                error_count=2,
                late_count=4,
                declined_count=1,
                fallback_count=7,
                compared_count=20,
                other_class_count=3,
            ),
            arm(pb.ARM_ROLE_SHADOW, 5, pb.ARM_STATE_UNLOADED),
        ],
    )
    service.replicas[0].routes.append(route)
    return service.replicas[0].routes[0]


def test_stats_show_how_each_arm_fares(run: Run, route: pb.RouteStatistics) -> None:
    """Rates are of what says something of the version; where nothing was counted there is no rate."""
    outcome = run("stats", COLUMNS="80")
    assert "route eurusd, last 5 min, candidate 20 %" in outcome.out
    rows = {words[0]: " ".join(words[1:]) for line in outcome.out.splitlines() if (words := line.split())}
    assert rows["stable"] == "3 800 0.0% 0.0% 0 7.50 ms -"
    assert rows["candidate"] == "4 201 1.0% 2.0% 7 7.50 ms 15.0%"
    assert "shadow 5 is unloaded" in outcome.out
    assert "rolled back" not in outcome.out


def test_stats_show_a_rollback_with_its_reason(run: Run, route: pb.RouteStatistics) -> None:
    """What was wished, what is in force, and on which figures; without overflowing a usual terminal."""
    route.effective_percent = 0
    route.arms[1].state = pb.ARM_STATE_ROLLED_BACK
    route.arms[1].recent.request_count = 1_234_567
    route.rollback.CopyFrom(
        pb.RollbackVerdict(
            cause=pb.ROLLBACK_CAUSE_ERRORS,
            rate=0.05,
            stable_rate=0.01,
            limit=0.02,
            request_count=200,
            age=milliseconds(61_000),
        )
    )
    outcome = run("stats", COLUMNS="80")
    assert "candidate 0 % instead of 20 %" in outcome.out
    told = " ".join(outcome.out.split())
    assert "rolled back 61 s ago: errors in 5.00% of 200 (stable: 1.00%), 2.00% allowed" in told
    assert max(map(len, outcome.out.splitlines())) <= 80
    assert "…" not in outcome.out


def test_stats_of_a_route_without_candidate(run: Run, route: pb.RouteStatistics) -> None:
    """No percentage is shown of what is not there."""
    del route.arms[1]
    assert "candidate" not in run("stats").out


def test_stats_in_json_have_routes_in_full(run: Run, route: pb.RouteStatistics) -> None:
    """Programs get totals beside the window's figures, and numbers of a newer service as unspecified."""
    route.arms[2].state = 77  # type: ignore[assignment]
    (told,) = run("stats", "--json").json
    (shown,) = told["routes"]
    assert (shown["model_name"], shown["percent"], shown["window_duration"], shown["rollback"]) == (
        "eurusd",
        20,
        300,
        None,
    )
    candidate = shown["arms"][1]
    assert (candidate["role"], candidate["state"], candidate["model"]["version"]) == ("CANDIDATE", "LIVE", 4)
    assert (candidate["recent"]["error_count"], candidate["total"]["error_count"]) == (2, 4)
    assert candidate["recent"]["quantile_duration"] == pytest.approx(0.0075)
    assert shown["arms"][2]["state"] == "UNSPECIFIED"
