"""`tickserve predict`: from each kind of input to an answer, or to one clear panel and an exit code."""

import json
import socket
from pathlib import Path

import grpc
import numpy as np
import pytest

from tests.unit.cli.conftest import Run
from tests.unit.client.fake_service import FakeService, rich_status


def test_an_example_needs_nothing_but_the_service(run: Run, service: FakeService) -> None:
    """A newcomer gets an answer in one command: the window has the model's own shape and schema."""
    outcome = run("predict", "--example", "--priority", "real_time", "--timeout", "5")
    assert outcome.code == 0
    for shown in ("sell", "0.1250", "buy", "0.6250", "+0.500000 ± 0.250000", "eurusd:3", "2.50 ms", "outside"):
        assert shown in outcome.out
    request = service.received[-1]
    assert (request.window.feature_count, request.window.time_steps, request.window.feature_schema) == (
        2,
        3,
        "schema-1",
    )
    assert (request.priority, request.timeout.seconds) == (1, 5)


def test_the_same_seed_is_the_same_example(run: Run, service: FakeService) -> None:
    """Examples can be repeated, and varied."""
    for seed in ("1", "1", "2"):
        run("predict", "--example", "--seed", seed)
    first, second, other = (r.window.raw_float32 for r in service.received if hasattr(r, "window"))
    assert first == second != other


def test_json_is_the_whole_answer(run: Run) -> None:
    """Programs get every field, spans in seconds."""
    answer = run("predict", "--symbol", "EURUSD", "--json").json
    assert answer["label"] == "buy"
    assert answer["classes"]["sell"] == 0.125
    assert answer["regressions"]["return"] == {"mean": 0.5, "standard_deviation": 0.25}
    assert answer["execution"]["queue_duration"] == 0.001
    assert answer["input"]["as_of_time"] == "2026-01-02T03:04:05+00:00"


@pytest.mark.parametrize("kind", ["npy", "list.json", "object.json"])
def test_a_window_is_read_from_a_file(run: Run, service: FakeService, tmp_path: Path, kind: str) -> None:
    """Arrays, nested lists and objects with a schema are all taken."""
    values = np.arange(6, dtype=np.float32).reshape(2, 3)
    file = tmp_path / f"window.{kind}"
    if kind == "npy":
        np.save(file, values)
    else:
        content = values.tolist() if kind == "list.json" else {"values": values.tolist(), "feature_schema": "s"}
        file.write_text(json.dumps(content))
    assert run("predict", "--window", str(file)).code == 0
    window = service.received[-1].window
    assert window.raw_float32 == values.tobytes()
    assert window.feature_schema == ("s" if kind == "object.json" else "")


@pytest.mark.parametrize(
    ("name", "content", "complaint"),
    [
        ("w.json", "[1, 2]", "features, steps"),
        ("w.json", "{}", "values"),
        ("w.json", "{", "Expecting"),
        ("w.csv", "1,2", ".npy or .json"),
        ("w.npy", "nothing", "allow_pickle"),
    ],
)
def test_a_bad_file_is_wrong_usage(run: Run, tmp_path: Path, name: str, content: str, complaint: str) -> None:
    """What is wrong with a file is said in one panel."""
    (tmp_path / name).write_text(content)
    outcome = run("predict", "--window", str(tmp_path / name))
    assert outcome.code == 2
    assert complaint in outcome.err


def test_a_missing_file_is_wrong_usage(run: Run) -> None:
    """A file that is not there is named."""
    outcome = run("predict", "--window", "nowhere.npy")
    assert (outcome.code, "nowhere.npy" in outcome.err) == (2, True)


@pytest.mark.parametrize("arguments", [[], ["--example", "--symbol", "X"]])
def test_exactly_one_input_is_wanted(run: Run, arguments: list[str]) -> None:
    """None or two inputs are wrong usage, with the choices."""
    outcome = run("predict", *arguments)
    assert outcome.code == 2
    assert "exactly one of" in outcome.err


def test_a_refusal_is_one_panel(run: Run, service: FakeService) -> None:
    """Reason, message, fields, metadata and retry delay are all shown; the code is 1."""
    service.refusal = rich_status(
        grpc.StatusCode.INVALID_ARGUMENT,
        "INVALID_SHAPE",
        "49 features",
        fields={"window.feature_count": "must be [50]"},
        metadata={"need": "50"},
        retry_delay=0.25,
    )
    outcome = run("predict", "--symbol", "EURUSD")
    assert (outcome.code, outcome.out) == (1, "")
    for shown in ("INVALID_SHAPE", "49 features", "window.feature_count", "must be [50]", "need = 50", "250.00 ms"):
        assert shown in outcome.err


def test_a_refusal_in_json_is_an_object(run: Run, service: FakeService) -> None:
    """Programs find the refusal where they look for the answer."""
    service.refusal = rich_status(grpc.StatusCode.RESOURCE_EXHAUSTED, "QUEUE_FULL", "full", retry_delay=0.25)
    outcome = run("predict", "--symbol", "EURUSD", "--json")
    assert outcome.code == 1
    error = outcome.json["error"]
    assert (error["reason"], error["code"], error["retry_delay"]) == ("QUEUE_FULL", "RESOURCE_EXHAUSTED", 0.25)


def test_nobody_at_home_is_code_three(run: Run) -> None:
    """An address without a service is told apart from a refusal, with what to do."""
    with socket.socket() as unheard:  # bound and not listening: nobody else can take the port
        unheard.bind(("127.0.0.1", 0))
        target = f"127.0.0.1:{unheard.getsockname()[1]}"
        outcome = run("predict", "--symbol", "EURUSD", "--target", target)
    assert outcome.code == 3
    assert target in outcome.err
    assert "tickserve serve" in outcome.err


def test_a_silent_service_is_code_three(run: Run, service: FakeService) -> None:
    """No answer in time is no answer."""
    service.silent = True
    assert run("predict", "--symbol", "EURUSD", "--timeout", "0.05").code == 3
