"""The decoding path under structured damage: typed refusals or right answers, nothing else, whatever is sent.

A fixed seed, which every run repeats, and one of the day, which a failure tells. `python -m benchmarks.fuzz` goes on
for longer, and repeats a round that failed.
"""

import secrets
from collections.abc import Iterator
from unittest import mock

import pytest

from benchmarks.fuzz.campaign import CampaignError, run
from benchmarks.fuzz.control_attack import CONTROL
from benchmarks.fuzz.doorway import Doorways, doorways
from benchmarks.fuzz.unary_attack import UNARY
from model.model_config import ModelConfig
from server.rpc.decode import FloatArray, read_window
from server.rpc.ingress import METHODS
from tickserve.v1 import window_pb2

FIXED, ROTATING = 16_384, 4_096
# Much for a process whose caches are full; 4 KiB a message, were it a leak.
MAX_GROWTH = 32 * 2**20


@pytest.fixture(scope="module")
def attacked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Doorways]:
    """A replica behind three doors."""
    with doorways(tmp_path_factory.mktemp("fuzz")) as running:
        yield running


def test_every_method_is_attacked() -> None:
    """An RPC that is added to the contract is attacked at once; by which round, the campaign's own table says."""
    # The last one, of the Open Inference Protocol, in test_oip_properties.
    attacked = {*UNARY, *CONTROL, "StreamPredict", "StreamTicks", "ModelStreamInfer"}
    assert attacked == METHODS.keys()


@pytest.mark.timeout(600)
def test_damaged_messages_break_no_law(attacked: Doorways) -> None:
    """Of many thousands, none is answered wrongly, refused without a reason, or harms what comes after it."""
    campaign = run(attacked, seed=7, count=FIXED)
    assert campaign.damaged >= FIXED
    assert campaign.growth < MAX_GROWTH
    # The damage is not all found by the parser: each layer behind it refuses some, and answers some.
    reached = {outcome.rpartition(" ")[2] for outcome in campaign.outcomes}
    assert reached >= {
        *("answered", "MALFORMED_MESSAGE", "INVALID_SHAPE", "NON_FINITE_VALUE", "INVALID_TIMEOUT", "INVALID_PRIORITY"),
        *("MODEL_NOT_FOUND", "SYMBOL_NOT_FOUND", "INVALID_SYMBOL", "FEATURE_SCHEMA_MISMATCH", "LIMIT_EXCEEDED"),
        *("INVALID_TICK", "SYMBOL_NOT_OPEN", "STREAM_NOT_OPEN", "opened", "progress", "gap", "prediction"),
        *("API_KEY_MISSING", "API_KEY_INVALID", "EDGE_REQUIRED", "200", "401", "404"),
    }


@pytest.mark.timeout(600)
def test_other_damage_each_time_breaks_no_law(attacked: Doorways) -> None:
    """The same with a seed of its own each time; the error names it."""
    run(attacked, seed=secrets.randbelow(2**32), count=ROTATING)


def test_a_fault_in_the_decoding_is_found(attacked: Doorways) -> None:
    """One that only some damage meets: the campaign ends with what repeats it."""
    with (
        mock.patch("server.rpc.prediction_service.read_span", side_effect=KeyError("planted")),
        pytest.raises(CampaignError, match=r"(?s)INFERENCE_FAILED.*--seed 7 --first 0"),
    ):
        run(attacked, seed=7, count=256)


def test_a_wrong_answer_is_found(attacked: Doorways) -> None:
    """As where windows were mixed up: every value is read as a neighbour's."""

    def mixed_up(window: window_pb2.Window, config: ModelConfig) -> FloatArray:
        return read_window(window, config)[::-1].copy()

    with (
        mock.patch("server.rpc.prediction_service.read_window", mixed_up),
        pytest.raises(CampaignError, match="a wrong answer"),
    ):
        run(attacked, seed=7, count=256)


def test_a_door_that_is_ajar_is_found(attacked: Doorways) -> None:
    """As where a key's beginning were enough."""
    [key] = attacked.keyed.authorizer._ring._keys.values()  # type: ignore[union-attr]  # it has a ring
    with (
        mock.patch("server.security.key_ring.KeyRing.find", return_value=key),
        pytest.raises(CampaignError, match="let in without a key"),
    ):
        run(attacked, seed=7, count=256, first=3)
