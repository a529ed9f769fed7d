"""`tickserve bench`: from options to figures, a verdict and an exit code."""

import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest

from tests.unit.cli.conftest import Run
from tests.unit.client.fake_service import FakeService, rich_status


class Computing(FakeService):
    """A stand-in that answers as if it had computed."""

    cached = False

    def Predict(self, request: Any, context: Any) -> Any:  # noqa: N802  # the contract's name
        """Answers one window."""
        response = super().Predict(request, context)
        response.prediction.execution.cached = self.cached
        return response


@pytest.fixture
def service() -> Iterator[FakeService]:
    """In place of the shared one, whose answers all say `cached`."""
    with Computing().serving() as serving:
        yield serving


# How fast a busy machine answers is not for a test to say.
ANY_SPEED = ("--timeout", "30", "--max", "mean=none")


def predictions(service: FakeService) -> list[Any]:
    """Returns the requests for predictions that the service got."""
    return [request for request in service.received if hasattr(request, "window")]


def test_latency_asks_one_after_another_each_with_its_own_window(run: Run, service: FakeService) -> None:
    """As many requests as asked for, after the warm-up; no window twice, none from a cache."""
    outcome = run("bench", "latency", "-n", "30", "--warm-up", "2", *ANY_SPEED)
    assert outcome.code == 0, outcome.err
    asked = predictions(service)
    assert len(asked) == len({request.window.raw_float32 for request in asked}) == 32
    assert all(request.options.bypass_cache for request in asked)
    for shown in ("standard", "p99.9", "30", "closed loop, 1 caller,", "kept   errors 0 <= 0", "bench: ok"):
        assert shown in outcome.out


def test_an_open_loop_with_a_mix_in_json_and_in_a_file(run: Run, service: FakeService, tmp_path: Path) -> None:
    """The document holds the plan, the model and the figures of every class; the file holds the same."""
    file = tmp_path / "bench.json"
    outcome = run(
        *("bench", "load", "--rate", "2000", "-n", "60", "--mix", "real_time=0.5,background=0.5"),
        *("--json", "--out", str(file), *ANY_SPEED),
    )
    assert outcome.code == 0, outcome.err
    document = outcome.json
    assert json.loads(file.read_text()) == document
    assert (document["ok"], document["preset"], document["model"]["name"]) == (True, "sustained", "eurusd")
    assert (document["plan"]["rate"], document["plan"]["concurrency"], document["plan"]["duration"]) == (
        2000,
        None,
        None,
    )
    assert document["plan"]["mix"] == {"real_time": 0.5, "background": 0.5}
    report = document["report"]
    assert report["total"]["sent"] == 60 == sum(figures["sent"] for figures in report["classes"].values())
    assert sorted(report["classes"]) == ["background", "real_time"]
    assert sum(count for _, count in report["total"]["histogram_ms"]) == 60
    assert {request.priority for request in predictions(service)[10:]} == {1, 3}


def test_a_missed_limit_fails(run: Run) -> None:
    """The exit code is the verdict, and the limit is named."""
    outcome = run("bench", "latency", "-n", "5", "--max", "p50=0", "--min", "rate=none", *ANY_SPEED)
    assert outcome.code == 1
    assert "missed p50" in outcome.out
    assert "bench: failed" in outcome.out


def test_refusals_are_counted_by_reason(run: Run, service: FakeService) -> None:
    """A service that refuses has not passed, however fast it refuses."""
    full = rich_status(grpc.StatusCode.RESOURCE_EXHAUSTED, "QUEUE_FULL", retry_delay=0.001)
    service.outcomes = [None, *[full, None] * 3]  # the first call describes the model
    outcome = run("bench", "load", "-n", "6", "-c", "1", "--warm-up", "0", *ANY_SPEED)
    assert outcome.code == 1
    assert " ".join(("QUEUE_FULL", "3")) in " ".join(outcome.out.split())
    assert "missed errors 0.5 <= 0" in outcome.out


def test_a_cached_answer_is_a_wrong_one(run: Run, service: FakeService) -> None:
    """What was not computed measures nothing."""
    assert isinstance(service, Computing)
    service.cached = True
    outcome = run("bench", "latency", "-n", "3", "--json", *ANY_SPEED)
    assert (outcome.code, outcome.json["report"]["total"]["reasons"]) == (1, {"CACHED": 3})


@pytest.mark.parametrize(
    "arguments",
    [
        ("--max", "p98=5"),
        ("--min", "rate=quick"),
        ("--mix", "standard=0.5"),
        ("--rate", "5", "--concurrency", "5"),
        ("--duration", "-1"),
        ("--preset", "huge"),
        ("--out", "/nowhere/at/all.json"),
    ],
)
def test_wrong_usage_sends_nothing(run: Run, service: FakeService, arguments: tuple[str, ...]) -> None:
    """What was typed wrongly is said before the service is troubled."""
    assert run("bench", "load", *arguments).code == 2
    assert service.received == []


def test_nobody_at_home_is_code_three(run: Run) -> None:
    """Without a service there is no verdict."""
    with socket.socket() as unheard:  # bound and not listening: nobody else can take the port
        unheard.bind(("127.0.0.1", 0))
        target = f"127.0.0.1:{unheard.getsockname()[1]}"
        assert run("bench", "latency", "--target", target).code == 3
