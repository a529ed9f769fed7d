"""`tickserve health --deep` shows every replica's engine, and its exit code tells the worst of them."""

import pytest
from google.protobuf import timestamp_pb2
from grpc_health.v1 import health_pb2

from tests.unit.cli.conftest import Run
from tests.unit.client.fake_service import FakeService
from tests.unit.client.fake_statistics import replica
from tickserve.v1 import model_service_pb2 as pb

STATES = {name: pb.DeepState.Value(f"DEEP_STATE_{name}") for name in ("UNKNOWN", "UNHEALTHY", "DEGRADED", "HEALTHY")}


def with_state(name: str, state: str, *, blocker: str = "") -> pb.ReplicaStatistics:
    """Returns a replica whose engine fared so."""
    made = replica(name)
    made.health.deep_check.state = STATES[state]
    if blocker:
        made.health.ready = False
        made.health.blockers.append(pb.ReadinessBlocker.Value(f"READINESS_BLOCKER_{blocker}"))
    return made


def test_each_engine_is_shown_with_its_times(run: Run) -> None:
    """Engine and queue apart, and when that was."""
    outcome = run("health", "--deep")
    assert outcome.code == 0
    [row] = [line.split() for line in outcome.out.splitlines() if "replica-1" in line]
    assert row == ["replica-1", "yes", "healthy", "4.25", "ms", "31.50", "ms", "08:00:00"]


def test_without_deep_nobody_asks_for_a_check(run: Run, service: FakeService) -> None:
    """The plain question stays as cheap as it was."""
    run("health")
    assert not service.received
    run("health", "--deep")
    run("stats")
    assert [request.deep_check for request in service.received] == [True, False]


@pytest.mark.parametrize(
    ("states", "code"),
    [
        (("HEALTHY", "HEALTHY"), 0),
        (("HEALTHY", "UNKNOWN"), 5),
        (("DEGRADED", "UNKNOWN"), 4),
        (("UNHEALTHY", "DEGRADED"), 1),
        (("HEALTHY", "UNHEALTHY"), 1),
    ],
)
def test_the_worst_engine_decides(run: Run, service: FakeService, states: tuple[str, ...], code: int) -> None:
    """Failed before slow before unknown; scripts may rely on the code alone, with JSON and without."""
    service.replicas = [with_state(f"replica-{number}", state) for number, state in enumerate(states)]
    assert run("health", "--deep").code == code
    assert run("health", "--deep", "--json").code == code
    assert run("health").code == 0


def test_a_replica_that_takes_no_requests_harms_nobody(run: Run, service: FakeService) -> None:
    """It is shown with what keeps it, and its engine is not held against the service."""
    service.replicas = [with_state("here", "HEALTHY"), with_state("there", "UNHEALTHY", blocker="DRAINING")]
    outcome = run("health", "--deep")
    assert (outcome.code, "DRAINING" in outcome.out) == (0, True)


def test_not_serving_outweighs_any_engine(run: Run, service: FakeService) -> None:
    """The exit code is 1 though every engine is well."""
    service.health.set("", health_pb2.HealthCheckResponse.NOT_SERVING)
    outcome = run("health", "--deep")
    assert (outcome.code, "healthy" in outcome.out) == (1, True)


def test_errors_and_skipped_checks_are_told(run: Run, service: FakeService) -> None:
    """Why it failed, and that since then the engine was never idle; what never was is not given as 0."""
    broken = with_state("here", "UNHEALTHY")
    broken.health.deep_check.error = "the engine failed"
    broken.health.deep_check.skipped_count = 7
    never = with_state("there", "UNKNOWN")
    never.health.deep_check.ClearField("check_time")
    service.replicas = [broken, never]
    outcome = run("health", "--deep")
    assert "here: the engine failed" in outcome.out
    assert "7 checks" in outcome.out
    [row] = [line.split() for line in outcome.out.splitlines() if line.strip().startswith("there")]
    assert row == ["there", "yes", "unknown", "-", "-", "never"]


def test_programs_get_every_field(run: Run, service: FakeService) -> None:
    """Spans in seconds, instants in ISO 8601, states by name; without --deep nothing but the state."""
    service.replicas[0].health.deep_check.check_time.CopyFrom(timestamp_pb2.Timestamp(seconds=1_800_000_000))
    [told] = run("health", "--deep", "--json").json["replicas"]
    assert told["replica_id"] == "replica-1"
    assert told["health"] == {
        "ready": True,
        "blockers": [],
        "deep_check": {
            "state": "HEALTHY",
            "check_time": "2027-01-15T08:00:00+00:00",
            "engine_duration": pytest.approx(0.00425),
            "queue_duration": pytest.approx(0.0315),
            "error": "",
            "skipped_count": 0,
        },
    }
    assert "replicas" not in run("health", "--json").json


def test_an_older_service_is_unknown_and_newer_words_are_not_fatal(run: Run, service: FakeService) -> None:
    """A replica that says nothing of its health, and one whose words are not known yet."""
    older = replica("older")
    older.ClearField("health")
    newer = replica("newer")
    newer.health.deep_check.state = 99  # type: ignore[assignment]
    for one in (older, newer):
        service.replicas = [one]
        assert run("health", "--deep").code == 5
    newer.health.ready = False
    newer.health.blockers.append(99)  # type: ignore[arg-type]
    assert "UNSPECIFIED" in run("health", "--deep").out
