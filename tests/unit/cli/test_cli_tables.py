"""`tickserve models`, `stats` and `health` show what the service said."""

from itertools import islice

import grpc
import pytest
from grpc_health.v1 import health_pb2

from tests.unit.cli.conftest import Run
from tests.unit.client.fake_service import FakeService, rich_status
from tickserve.cli.stats import samples


def test_models_are_listed_with_their_engine_and_why(run: Run) -> None:
    """What answers, and the reason for it, is on the first screen."""
    outcome = run("models")
    assert outcome.code == 0
    for shown in ("eurusd:3 (default)", "SERVING", "openvino bf16 cpu", "fastest on this processor", "1 h", "gbpusd:1"):
        assert shown in outcome.out
    assert "accuracy" not in outcome.out


def test_verbose_models_have_metrics(run: Run) -> None:
    """Metrics stand beside their baselines."""
    outcome = run("models", "--verbose")
    assert "accuracy_baseline" in outcome.out
    assert "ab" * 32 in outcome.out


def test_models_in_json(run: Run) -> None:
    """Programs get the list."""
    first, second = run("models", "--json").json
    assert (first["version"]["name"], first["state"], first["engine"]["name"]) == ("eurusd", "SERVING", "openvino")
    assert second["engine"] is None


def test_stats_show_queues_and_outcomes(run: Run) -> None:
    """How busy it is, at a glance."""
    outcome = run("stats")
    assert outcome.code == 0
    for shown in ("replica-1", "real_time", "5.00 ms", "QUEUE_FULL", "5,678", "batches 1,234", "up 90 s"):
        assert shown in outcome.out


def test_stats_in_json(run: Run) -> None:
    """Programs get the replicas."""
    (replica,) = run("stats", "--json").json
    assert (replica["batch_count"], replica["classes"][0]["priority"]) == (1234, "REAL_TIME")


def test_watching_waits_between_two_looks() -> None:
    """One look, one wait, another look: never two looks in a row."""
    log: list[str] = []

    def look() -> list[object]:
        log.append("look")
        return []

    assert list(islice(samples(look, lambda: log.append("wait")), 3)) == [[], [], []]  # type: ignore[arg-type]
    assert log == ["look", "wait", "look", "wait", "look"]


def test_watching_ends_with_ctrl_c(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C is the way to stop looking, not a failure; until then a look a line."""
    waits = iter([None, KeyboardInterrupt()])

    def wait(_seconds: float) -> None:
        if (interrupt := next(waits)) is not None:
            raise interrupt

    monkeypatch.setattr("tickserve.cli.stats.time.sleep", wait)
    outcome = run("stats", "--watch", "--json")
    assert outcome.code == 0
    assert len(outcome.out.splitlines()) == 2


@pytest.mark.parametrize(("state", "code"), [("SERVING", 0), ("NOT_SERVING", 1), ("UNKNOWN", 1)])
def test_health_exits_with_zero_only_if_serving(run: Run, service: FakeService, state: str, code: int) -> None:
    """Scripts may rely on the exit code alone."""
    service.health.set("", health_pb2.HealthCheckResponse.ServingStatus.Value(state))
    outcome = run("health")
    assert outcome.code == code
    assert state in outcome.out


def test_health_of_an_unknown_service(run: Run) -> None:
    """A name that the service does not know is not healthy."""
    outcome = run("health", "--service", "nobody", "--json")
    assert (outcome.code, outcome.json["state"]) == (1, "SERVICE_UNKNOWN")


@pytest.mark.parametrize("command", ["models", "stats"])
def test_refusals_are_shown(run: Run, service: FakeService, command: str) -> None:
    """Every command has the same panel and code."""
    service.refusal = rich_status(grpc.StatusCode.PERMISSION_DENIED, "METHOD_NOT_ALLOWED")
    outcome = run(command)
    assert (outcome.code, "METHOD_NOT_ALLOWED" in outcome.err) == (1, True)
