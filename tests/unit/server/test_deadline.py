"""Laws of the deadline: one instant, fixed at receipt."""

import pytest

from batching import PriorityClass
from server.deadline import DeadlinePolicy, latest_common_deadline

POLICY = DeadlinePolicy(
    default_timeouts={PriorityClass.REAL_TIME: 0.1, PriorityClass.STANDARD: 1.0, PriorityClass.BACKGROUND: 30.0},
    max_timeout=300.0,
    reply_margin=0.002,
)
RECEIVED = 1000.0


def deadline(
    *, rpc: float | None = None, timeout: float | None = None, priority: PriorityClass = PriorityClass.STANDARD
) -> float:
    """Returns how long after receipt the deadline lies; `rpc` likewise."""
    rpc_deadline = None if rpc is None else RECEIVED + rpc
    instant = POLICY.deadline(received_at=RECEIVED, rpc_deadline=rpc_deadline, timeout=timeout, priority=priority)
    return instant - RECEIVED


@pytest.mark.parametrize(
    ("rpc", "timeout", "expected"),
    [(5.0, None, 4.998), (None, 5.0, 5.0), (5.0, 1.0, 1.0), (1.0, 5.0, 0.998), (5.0, 4.999, 4.998)],
)
def test_the_earlier_of_rpc_deadline_and_timeout_counts(rpc: float, timeout: float, expected: float) -> None:
    """The RPC's deadline less the reply margin and the message's timeout are folded into the earlier one."""
    assert deadline(rpc=rpc, timeout=timeout) == pytest.approx(expected)


@pytest.mark.parametrize(("priority", "expected"), list(POLICY.default_timeouts.items()))
def test_the_class_default_counts_if_the_caller_gives_nothing(priority: PriorityClass, expected: float) -> None:
    """Without deadline and timeout each class has its own."""
    assert deadline(priority=priority) == pytest.approx(expected)


@pytest.mark.parametrize(("rpc", "timeout"), [(20.0, None), (None, 20.0)])
def test_the_class_default_yields_to_whatever_is_given(rpc: float | None, timeout: float | None) -> None:
    """A real-time caller that allows 20 s gets them."""
    assert deadline(priority=PriorityClass.REAL_TIME, rpc=rpc, timeout=timeout) == pytest.approx(20.0, abs=0.01)


@pytest.mark.parametrize(("rpc", "timeout"), [(1e9, None), (None, 3e11), (1e9, 1e9)])
def test_nobody_gets_more_than_the_maximum(rpc: float | None, timeout: float | None) -> None:
    """Absurdly long timeouts are cut."""
    assert deadline(rpc=rpc, timeout=timeout) == pytest.approx(300.0)


def test_an_rpc_that_is_over_has_a_deadline_in_the_past() -> None:
    """What cannot be answered in time any more is late from the start."""
    assert deadline(rpc=0.001) < 0


@pytest.mark.parametrize(
    ("true", "sent"), [(0.05, 0.05), (1.001, 1.01), (9.991, 10.0), (20.01, 20.1), (99.95, 100.0), (150.5, 151.0)]
)
def test_a_deadline_that_grpc_rounded_up_is_still_kept(true: float, sent: float) -> None:
    """GRPC sends timeouts with few digits, rounded up; what is in time here is in time at the client."""
    deadline = latest_common_deadline(received_at=RECEIVED, remaining=sent)
    assert deadline is not None
    assert deadline <= RECEIVED + true + 1e-9


def test_no_deadline_stays_none() -> None:
    """An RPC without a deadline has none."""
    assert latest_common_deadline(received_at=RECEIVED, remaining=None) is None
