"""Laws of Triton's real client: it is told what `Predict` tells, at any concurrency, and errors as it expects them."""

import pytest

from tests.clients.conftest import Reachable
from tests.clients.oip.foreign_client import Told, check, first_windows, run

# The first test waits until the service has started.
pytestmark = pytest.mark.timeout(400)

EACH = 64
LEVELS = (1, 8, 64)


@pytest.fixture(scope="module")
def told(service: Reachable, tmp_path_factory: pytest.TempPathFactory) -> Told:
    """What one run was told, of windows that no other test asks for."""
    return run("triton_program.py", service, tmp_path_factory.mktemp("triton"), first_windows(len(LEVELS) * EACH))


@pytest.mark.parametrize(("place", "level"), list(enumerate(LEVELS)))
def test_any_concurrency_gets_the_numbers_of_predict(told: Told, service: Reachable, place: int, level: int) -> None:
    """1, 8 and 64 requests at once, each level with windows of its own, so that they are computed."""
    check(told.numbers[f"aio_{level}"], service, range(place * EACH, (place + 1) * EACH))


@pytest.mark.parametrize("name", ["batch", "aio_stream"])
def test_batches_and_streams_get_them_too(told: Told, service: Reachable, name: str) -> None:
    """One request of 64 windows; 64 requests on one stream, answered in their order."""
    check(told.numbers[name], service, range(EACH))


def test_a_stream_outlives_an_error(told: Told, service: Reachable) -> None:
    """The callback is told of it, between two answers."""
    check(told.numbers["stream"], service, range(2))
    assert told.facts["spoilt"].startswith("NON_FINITE_VALUE: ")


def test_the_client_learns_what_it_asks_for(told: Told) -> None:
    """Readiness, metadata, configuration and index, as its own methods read them."""
    facts = told.facts
    assert (facts["live"], facts["ready"], facts["model_ready"], facts["other_ready"]) == (True, True, True, False)
    assert facts["server"]["name"] == "tickserve"
    [given] = facts["metadata"]["inputs"]
    assert (given["name"], given["datatype"], given["shape"]) == ("window", "FP32", ["-1", "50", "60"])
    assert facts["config"]["max_batch_size"] == EACH
    assert facts["config"]["input"][0]["dims"] == ["50", "60"]
    assert ("cnn_lstm", "2", "READY") in [(each["name"], each["version"], each["state"]) for each in facts["index"]]
    assert int(facts["statistics"]["inference_count"]) >= len(LEVELS) * EACH
    assert int(facts["statistics"]["inference_stats"]["compute_infer"]["ns"]) > 0


def test_responses_say_whose_they_are(told: Told) -> None:
    """Id, model and version; of the outputs only those that were asked for."""
    assert told.facts["batch"] == ["batch", "cnn_lstm", "2"]
    assert told.facts["chosen"] == ["class_probabilities"]


@pytest.mark.parametrize(
    ("name", "status"),
    [
        ("no key", "UNAUTHENTICATED"),
        ("model", "NOT_FOUND"),
        ("output", "INVALID_ARGUMENT"),
        ("sequence", "UNIMPLEMENTED"),
        ("load", "UNIMPLEMENTED"),
    ],
)
def test_refusals_are_the_clients_own_exception(told: Told, name: str, status: str) -> None:
    """With gRPC's status, and words that name the remedy."""
    code, message = told.facts["refusals"][name]
    assert code == f"StatusCode.{status}"
    assert message


def test_no_time_is_too_little(told: Told) -> None:
    """A microsecond, as the client's `timeout` sends it: refused at once or late, never answered."""
    assert told.facts["refusals"]["time"][0] in ("StatusCode.RESOURCE_EXHAUSTED", "StatusCode.DEADLINE_EXCEEDED")
