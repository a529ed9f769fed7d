"""Laws of the example programs in other languages: they run, they read refusals, and their numbers are Python's."""

from collections.abc import Iterator
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from tests.clients.conftest import Reachable
from tests.clients.example import WITHOUT_TLS, Example, Outcome
from tests.clients.python_answers import TICK_BARS, made_window, numbers_in, numbers_of, tick_answers
from tests.support.certificates import Authority
from tests.support.registry import real_windows
from tickserve import Client

# The first test waits until the service has started.
pytestmark = pytest.mark.timeout(300)

INVALID_ARGUMENT, RESOURCE_EXHAUSTED, UNAVAILABLE, UNAUTHENTICATED = "3", "8", "14", "16"


@pytest.fixture(scope="module")
def python(service: Reachable) -> Iterator[Client]:
    """The Python client, with a key of its own."""
    with Client(service.target, api_key=service.keys["python"], default_timeout=20.0) as client:
        yield client


@cache
def first_run(example: Example) -> Outcome:
    """Runs a program with nothing but the service's address and the key: once for all tests."""
    return example.run()


def test_it_ends_well(example: Example) -> None:
    """Health is SERVING, every step is done, and the exit code is 0."""
    outcome = first_run(example)
    assert (outcome.code, outcome.errors) == (0, []), outcome.text
    assert outcome.only("health")["status"] == "SERVING"
    assert [line["name"] for line in outcome.lines[:6]] == [
        "health",
        "predict",
        "values",
        "refused",
        "limited",
        "retried",
    ]


def test_its_numbers_are_those_of_python(example: Example, python: Client) -> None:
    """As bytes, as numbers, and again after a refusal: the window is the same, and so is every bit of the answer."""
    expected = numbers_of(python.predict(made_window()))
    for name, priority in (("predict", "REAL_TIME"), ("values", "STANDARD"), ("retried", "BACKGROUND")):
        line = first_run(example).only(name)
        assert numbers_in(line, expected) == expected
        assert line["priority"] == f"PRIORITY_{priority}"
        assert 0 < int(line["slack_ms"]) < 20_040


def test_it_reads_why_it_was_refused(example: Example) -> None:
    """`ErrorInfo` and `BadRequest` of a wrong shape are decoded: reason, domain, field and figures."""
    refused = first_run(example).only("refused")
    assert (refused["code"], refused["reason"], refused["domain"]) == (INVALID_ARGUMENT, "INVALID_SHAPE", "tickserve")
    assert refused["fields"] == "window.feature_count"
    assert (refused["metadata.have"], refused["metadata.need"]) == ("49", "50")
    assert refused["message"] == '"feature_count must be 50 for this model."'


def test_it_reads_when_to_come_back(example: Example) -> None:
    """`RetryInfo` of a rate limit is decoded; who waits that long is answered."""
    limited = first_run(example).only("limited")
    assert (limited["code"], limited["reason"]) == (RESOURCE_EXHAUSTED, "RATE_LIMITED")
    assert limited["metadata.what"] == "requests"
    assert 0 < int(limited["retry_ms"]) <= 2_000  # half a request a second


def test_its_session_survives_a_bad_tick_and_gets_each_prediction(example: Example, python: Client) -> None:
    """A refused tick is told with its field; then each bar has its prediction, in order: Python's window and answer.

    Ticks are batched as they come, and what a window is batched with moves the last bit of its answer.
    """
    outcome = first_run(example)
    opened, error = outcome.only("opened"), outcome.only("tick_error")
    assert (opened["symbol"], opened["next_sequence"], opened["have"]) == (example.symbol, "1", "0")
    assert (error["sequence"], error["code"], error["reason"]) == ("1", INVALID_ARGUMENT, "INVALID_TICK")
    assert error["fields"] == "tick.bar.low_price"
    ticks = outcome.named("tick")
    assert [tick["sequence"] for tick in ticks] == ["1", "2", "3", "4", "5"]
    answers = tick_answers(python, f"PYTHON-{example.language}")
    assert len(answers) == TICK_BARS
    for tick, answer in zip(ticks, answers, strict=True):
        assert tick["symbol"] == example.symbol
        expected = numbers_of(answer)
        for name, value in numbers_in(tick, expected).items():
            wanted = expected[name]
            assert value == (wanted if isinstance(wanted, str) else pytest.approx(wanted, rel=1e-4, abs=1e-6))
    assert outcome.named("gap") == []


def test_it_runs_again_over_tls_with_a_window_of_its_own(
    example: Example, service: Reachable, python: Client, tmp_path: Path
) -> None:
    """TLS, a window from a file, and a symbol that the service holds already: numbered on, begun anew, same answers."""
    first = first_run(example)
    window = real_windows()[7]
    (tmp_path / "window.f32").write_bytes(window.astype("<f4").tobytes())
    given = f"--window={tmp_path / 'window.f32'}"
    if example.language in WITHOUT_TLS:
        again = example.run(given)
    else:
        again = example.run(given, f"--ca={service.ca}", target=service.tls_target)
    assert again.code == 0, again.text
    expected = numbers_of(python.predict(np.asarray(window)))
    for name in ("predict", "values"):
        assert numbers_in(again.only(name), expected) == expected
    assert again.only("opened")["next_sequence"] == "6"
    # The sixth number is the reset's.
    assert [tick["sequence"] for tick in again.named("tick")] == ["7", "8", "9", "10", "11"]
    inputs = [[tick["input"] for tick in run.named("tick")] for run in (first, again)]
    assert inputs[0] == inputs[1]


def test_without_a_key_it_says_what_is_missing(example: Example) -> None:
    """Health is open to all; the first prediction is refused, and the program ends with 1 and the reason."""
    outcome = example.run(key="")
    assert outcome.code == 1, outcome.text
    assert [line["name"] for line in outcome.lines] == ["health"]
    [error] = outcome.errors
    assert (error["code"], error["reason"]) == (UNAUTHENTICATED, "API_KEY_MISSING")


def test_it_trusts_no_other_authority(example: Example, service: Reachable, tmp_path: Path) -> None:
    """A certificate that its authority has not signed gets neither call nor key."""
    if example.language in WITHOUT_TLS:
        pytest.skip("this program has no TLS with the packages it is built with here")
    stranger = Authority(tmp_path, "Stranger")
    outcome = example.run(f"--ca={stranger.cert}", target=service.tls_target, timeout="5")
    assert (outcome.code, outcome.lines) == (1, []), outcome.text
    assert [error["code"] for error in outcome.errors if error["name"] == "failed"] == [UNAVAILABLE]


@pytest.mark.parametrize("arguments", [("--nonsense=1",), ("--timeout=0",), ("--ca=/no/such/file",)])
def test_wrong_usage_is_2(example: Example, arguments: tuple[str, ...]) -> None:
    """What cannot work ends the program before anything is sent."""
    outcome = example.run(*arguments)
    assert (outcome.code, outcome.lines) == (2, []), outcome.text


def test_the_key_is_not_sent_over_a_network_in_the_clear(example: Example) -> None:
    """Another machine, a key and no TLS: refused by the program, which does not even look the name up."""
    outcome = example.run(target="tickserve.invalid:9000")
    assert (outcome.code, outcome.lines) == (2, []), outcome.text
    assert "plain text" in outcome.text
    assert example.key not in outcome.text
