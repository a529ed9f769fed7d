"""Law 8: the index behind the insertion test, against the plain list it stands for."""

import math
import random

import hypothesis.strategies as st
from hypothesis import given, settings

from batching.deadline_index import MAX_BLOCKS, DeadlineIndex, Key

ROUNDS = st.integers(0, 2)
DEADLINES = st.one_of(st.integers(0, 100).map(float), st.just(math.inf))
STEPS = st.lists(st.tuples(st.booleans(), ROUNDS, DEADLINES, st.integers(0, 10**6)), max_size=60)


def build(steps: list[tuple[bool, int, float, int]]) -> tuple[DeadlineIndex, list[Key]]:
    """Let entries come and go."""
    index, plain = DeadlineIndex(), list[Key]()
    for number, (adding, round_, deadline, which) in enumerate(steps):
        if adding or not plain:
            key = (round_, deadline, number)
            index.add(key)
            plain.append(key)
        else:
            index.remove(plain.pop(which % len(plain)))
    return index, sorted(plain)


@settings(max_examples=150, deadline=None)
@given(
    steps=STEPS,
    round_=ROUNDS,
    deadline=DEADLINES,
    first=st.integers(0, 20),
    batch=st.integers(1, 8),
    start=st.integers(0, 60),
    grown=st.integers(0, 5),
    work=st.integers(0, 4),
)
def test_insertion_test_is_exact_while_blocks_hold_one(
    steps: list[tuple[bool, int, float, int]],
    round_: int,
    deadline: float,
    first: int,
    batch: int,
    start: int,
    grown: int,
    work: int,
) -> None:
    """Law 8: up to 63 entries place and verdict are those of a walk over all of them."""
    index, plain = build(steps)
    place = sum(key[:2] <= (round_, deadline) for key in plain)
    assert index.ahead(round_, deadline) == place
    assert index.first_deadline == (plain[0][1] if plain else math.inf)

    def ends(at: int, begins: int) -> int:
        return begins + (at * work if at >= batch else 0)

    late = any(
        ends(first + at + 1, start + grown) > key[1] >= ends(first + at, start)
        for at, key in enumerate(plain)
        if at >= place and key[0] == round_
    )
    assert late == index.makes_late(
        round_,
        deadline,
        first=first,
        batch=batch,
        start=float(start + grown),
        start_before=float(start),
        work=float(work),
    )


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10**6), count=st.integers(500, 2000), ordered=st.booleans())
def test_blocks_stay_few_and_places_exact(seed: int, count: int, ordered: bool) -> None:
    """Law 8: however many wait, in whatever order they came, blocks are bounded and no place is wrong."""
    chance = random.Random(seed)
    index, plain = DeadlineIndex(), list[Key]()
    for number in range(count):
        entry: Key = (0, float(number) if ordered else chance.random() * count, number)
        index.add(entry)
        plain.append(entry)
        assert index.blocks <= MAX_BLOCKS + 1
        if number % 3 == 0:
            index.remove(plain.pop(chance.randrange(len(plain))))
    for probe in range(0, count, max(1, count // 20)):
        assert index.ahead(0, float(probe)) == sum(key[1] <= probe for key in plain)
    for key in plain:
        index.remove(key)
    assert (index.size, index.blocks) == (0, 0)
