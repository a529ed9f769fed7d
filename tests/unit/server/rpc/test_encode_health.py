"""Laws of health on the wire: every word has a number, the client reads the same word, and absent is not zero."""

import pytest

from server.health.deep_health import DeepHealth, DeepState, failed, measured
from server.health.readiness import Blocker, Readiness
from server.rpc.encode_health import write_health
from tickserve import DeepState as ClientState
from tickserve import ReadinessBlocker, ReplicaHealth

HEALTHY = measured(at=1_800_000_000.5, engine=0.004, queue=1.5, degraded_above=0.1)


@pytest.mark.parametrize("blocker", Blocker, ids=lambda blocker: blocker.name)
def test_each_blocker_is_read_as_written(blocker: Blocker) -> None:
    """By the client's name for it."""
    read = ReplicaHealth.from_proto(write_health(Readiness(blockers=(blocker,)), HEALTHY))
    assert (read.ready, [one.name for one in read.blockers]) == (False, [blocker.name])


@pytest.mark.parametrize("state", DeepState, ids=lambda state: state.name)
def test_each_state_is_read_as_written(state: DeepState) -> None:
    """By the client's name for it."""
    read = ReplicaHealth.from_proto(write_health(Readiness(), DeepHealth(state=state)))
    assert (read.ready, read.deep_check.state.name) == (True, state.name)


def test_a_judgement_arrives_whole() -> None:
    """Times, spans, words and counts."""
    check = ReplicaHealth.from_proto(write_health(Readiness(), HEALTHY.skipped(2.0))).deep_check
    assert check.check_time is not None
    assert check.check_time.timestamp() == 1_800_000_000.5
    assert (check.engine_duration, check.queue_duration, check.skipped_count) == (0.004, 1.5, 1)
    assert ReplicaHealth.from_proto(write_health(Readiness(), failed("no", at=1.0))).deep_check.error == "no"


def test_never_checked_has_no_time() -> None:
    """Rather than 1970."""
    check = ReplicaHealth.from_proto(write_health(Readiness(), DeepHealth())).deep_check
    assert (check.state, check.check_time) == (ClientState.UNKNOWN, None)


def test_the_client_knows_no_more_words() -> None:
    """Both sides have the same ones."""
    assert {one.name for one in ReadinessBlocker} - {"UNSPECIFIED"} == {one.name for one in Blocker}
    assert {one.name for one in ClientState} - {"UNSPECIFIED"} == {one.name for one in DeepState}
