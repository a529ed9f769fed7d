"""Laws of KServe's real client: it is told what `Predict` tells, whether it sends bytes or numbers."""

import pytest

from tests.clients.conftest import Reachable
from tests.clients.oip.foreign_client import Told, check, first_windows, run
from tests.support import oip

# The first test waits until the service has started.
pytestmark = pytest.mark.timeout(400)

COUNT = 8


@pytest.fixture(scope="module")
def told(service: Reachable, tmp_path_factory: pytest.TempPathFactory) -> Told:
    """What one run was told."""
    return run("kserve_program.py", service, tmp_path_factory.mktemp("kserve"), first_windows(COUNT))


def test_its_numbers_are_those_of_predict(told: Told, service: Reachable) -> None:
    """Eight windows as bytes, two as numbers."""
    check(told.numbers["raw"], service, range(COUNT))
    check(told.numbers["typed"], service, range(2))


def test_it_learns_what_it_asks_for(told: Told) -> None:
    """Readiness; id, model, version and outputs of an answer."""
    facts = told.facts
    assert (facts["live"], facts["ready"], facts["model_ready"]) == (True, True, True)
    answered_id, model, version, outputs = facts["answered"]
    assert (answered_id, model, version) == ("mine", "cnn_lstm", "2")
    assert outputs == list(oip.expected([]))


def test_a_refusal_is_an_rpc_error(told: Told) -> None:
    """With gRPC's code and our words."""
    code, details = told.facts["refused"]
    assert code == "NOT_FOUND"
    assert "cnn_lstm" in details
