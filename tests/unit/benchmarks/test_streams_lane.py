"""A lane takes each tick's one answer, in order, and calls everything else by its name."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.load.plan import ExpectedModel
from benchmarks.streams.lane import Lane
from benchmarks.streams.plan import StreamPlan

MODEL = ExpectedModel(name="m", version=1, sha256="")


def lane(*, conflate: bool = False, sent: int = 0) -> Lane:
    """Returns a lane whose ticks 11, 12, ... were due at 1.0, 2.0, ... and sent a tenth later."""
    made = Lane(0, next_sequence=11, conflate=conflate)
    for index in range(sent):
        assert made.send(1.0 + index, 1.1 + index) == 11 + index
    return made


def answer(made: Lane, first: int, last: int, *, count: int | None = None, now: float = 9.0) -> str:
    """Gives the lane an answer for ticks `first` to `last`; returns its fault."""
    conflated = last - first if count is None else count
    return made.answer(first_sequence=first, sequence=last, conflated_count=conflated, now=now).fault


def test_answers_in_order_have_no_fault() -> None:
    """And nothing is left."""
    made = lane(sent=3)
    assert [answer(made, sequence, sequence) for sequence in (11, 12, 13)] == [""] * 3
    assert (made.waiting, made.conflated, made.unanswered()) == (0, 0, [])


@pytest.mark.parametrize(
    ("first", "last", "count", "fault"),
    [
        (14, 14, 0, "sequence"),
        (10, 10, 0, "sequence"),
        (12, 12, 0, "first sequence"),
        (11, 12, 0, "conflated count"),
        (11, 12, 1, "conflated"),
    ],
)
def test_an_answer_that_does_not_fit_is_named(first: int, last: int, count: int, fault: str) -> None:
    """Whether its number was never sent, skips one, miscounts, or conflates without leave."""
    assert answer(lane(sent=3), first, last, count=count) == fault


def test_a_second_answer_is_a_fault() -> None:
    """Exactly once."""
    made = lane(sent=1)
    assert answer(made, 11, 11) == ""
    assert answer(made, 11, 11) == "sequence"


@given(st.lists(st.integers(1, 5), min_size=1, max_size=8))
def test_conflated_answers_tile_the_sequence(lengths: list[int]) -> None:
    """Each tick has been answered or stands behind a newer one; the counts add up."""
    made = lane(conflate=True, sent=sum(lengths))
    last = 10
    for length in lengths:
        assert answer(made, last + 1, last + length) == ""
        last += length
    assert made.waiting == 0
    assert made.conflated == sum(lengths) - len(lengths)


def test_an_error_stands_in_for_an_answer() -> None:
    """The next answer begins after it."""
    made = lane(conflate=True, sent=4)
    ended = made.error(12, 9.0)
    assert (ended.due, ended.sent, ended.fault) == (2.0, 2.1, "")
    assert answer(made, 13, 14) == ""
    assert made.error(99, 9.0).fault == "sequence"


def test_an_answer_is_as_far_behind_as_the_next_tick_is_old() -> None:
    """Not at all, if there is none."""
    made = lane(conflate=True, sent=3)
    first = made.answer(first_sequence=11, sequence=12, conflated_count=1, now=3.25)
    assert (first.due, first.behind) == (2.0, 0.25)
    assert made.answer(first_sequence=13, sequence=13, conflated_count=0, now=9.0).behind == 0.0


def test_the_store_s_word_covers_all_before_it() -> None:
    """Each tick once."""
    made = lane(sent=3)
    assert made.durable(12, 4.1) == pytest.approx([3.0, 2.0])
    assert made.durable(12, 5.0) == []
    assert made.undurable == 1


def test_a_plan_survives_its_journey() -> None:
    """What the harness writes is what the generator reads."""
    plan = StreamPlan(
        name="n", target="127.0.0.1:1", bars="b", model=MODEL, symbols=9, streams=3, rate=2.5, conflate=True
    )
    assert StreamPlan.from_json(plan.to_json()) == plan
    assert list(plan.numbers) == list(range(9))


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"target": "10.0.0.1:1"}, "not on this machine"),
        ({"symbols": 2}, "one symbol a stream"),
        ({"connections": 4}, "one stream a connection"),
        ({"conflate": True}, "conflate"),
        ({"exact_sample": 10}, "exact_sample"),
    ],
)
def test_a_plan_without_sense_is_refused(values: dict[str, object], reason: str) -> None:
    """Before anything is started."""
    sound: dict[str, object] = {"name": "n", "target": "127.0.0.1:1", "bars": "b", "model": MODEL}
    with pytest.raises(ValueError, match=reason):
        StreamPlan(**(sound | {"symbols": 9, "streams": 3} | values))  # type: ignore[arg-type]
