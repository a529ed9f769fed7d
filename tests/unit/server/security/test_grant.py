"""Laws of a caller's rights: no class above the highest, and no limit that limits nothing."""

import math

import pytest

from batching import PriorityClass
from server.call import Call
from server.grant import Grant, RateLimit
from server.refusal import Reason, Refusal

CLASSES = (PriorityClass.REAL_TIME, PriorityClass.STANDARD, PriorityClass.BACKGROUND)


@pytest.mark.parametrize("highest", CLASSES)
def test_classes_up_to_the_highest_pass(highest: PriorityClass) -> None:
    """The lower number is the more urgent one."""
    call = Call(method="m", received_at=0.0, grant=Grant(key_id="k", owner="k", max_priority=highest))
    for priority in CLASSES:
        if priority >= highest:
            call.check_priority(priority)
            continue
        with pytest.raises(Refusal) as caught:
            call.check_priority(priority)
        assert (caught.value.reason, caught.value.field) == (Reason.PRIORITY_NOT_ALLOWED, "priority")
        assert caught.value.metadata == {"priority": priority.name, "highest": highest.name}


def test_where_no_keys_are_asked_for_all_classes_pass() -> None:
    """Nobody has granted anything, and nobody has to."""
    for priority in CLASSES:
        Call(method="m", received_at=0.0).check_priority(priority)


@pytest.mark.parametrize(("rate", "burst"), [(0.0, 1.0), (-1.0, 1.0), (1.0, 0.5), (math.inf, 1.0), (math.nan, 1.0)])
def test_a_limit_limits(rate: float, burst: float) -> None:
    """Values that would let all or nobody through are mistakes."""
    with pytest.raises(ValueError, match="finite"):
        RateLimit(rate=rate, burst=burst)
