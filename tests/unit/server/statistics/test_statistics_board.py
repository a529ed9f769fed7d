"""Laws of the statistics board: the newest figures of each other replica with their age, and none of the dead."""

import warnings
from typing import Any

import pytest

from server.statistics.statistics_board import FORGET_AFTER, WATCHED_FOR, Board

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # Ray's own, at import
    from server.statistics import ray_statistics_board
    from server.statistics.ray_statistics_board import RayStatisticsBoard


class Clock:
    """Seconds that only the test moves."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        """The test's time."""
        return self.now


@pytest.fixture
def clock() -> Clock:
    """The board's clock."""
    return Clock()


@pytest.fixture
def board(clock: Clock) -> Board:
    """An empty board."""
    return Board(clock)


def test_nobody_is_told_of_itself(board: Board) -> None:
    """A replica has its own figures fresher."""
    board.publish("a", b"A")
    assert board.others("a") == []
    assert board.others("b") == [(0.0, b"A")]


def test_others_are_told_in_order_with_their_age(board: Board, clock: Clock) -> None:
    """By replica id, and as old as their figures are."""
    board.publish("c", b"C")
    clock.now += 2
    board.publish("b", b"B")
    clock.now += 3
    assert board.others("a") == [(3.0, b"B"), (5.0, b"C")]


def test_newer_figures_replace_older_ones(board: Board, clock: Clock) -> None:
    """There is one entry for each replica."""
    board.publish("a", b"old")
    clock.now += 1
    board.publish("a", b"new")
    assert board.others("b") == [(0.0, b"new")]


def test_the_silent_are_forgotten(board: Board, clock: Clock) -> None:
    """At the limit they are still told of, beyond it never again, until they speak."""
    board.publish("a", b"A")
    clock.now += FORGET_AFTER
    assert board.others("b") == [(FORGET_AFTER, b"A")]
    clock.now += 0.5
    assert board.others("b") == []
    clock.now -= 0.5
    assert board.others("b") == []
    board.publish("a", b"A")
    assert board.others("b") == [(0.0, b"A")]


def test_details_are_wanted_for_a_while_after_somebody_asked(board: Board, clock: Clock) -> None:
    """Until then, and when nobody has asked for long, replicas are told to publish none."""
    assert not board.publish("a", b"A")
    assert board.details("b") == {}
    clock.now += WATCHED_FOR
    assert board.publish("a", b"A", b"details of a")
    assert board.details("b") == {"a": b"details of a"}
    assert board.details("a") == {}
    clock.now += WATCHED_FOR + 0.1
    assert not board.publish("a", b"A")


def test_details_go_with_the_figures(board: Board, clock: Clock) -> None:
    """Those of a replica that publishes none any more, or nothing at all, are shown no longer."""
    board.publish("a", b"A", b"details of a")
    board.publish("a", b"A")
    assert board.details("b") == {}
    board.publish("a", b"A", b"details of a")
    clock.now += FORGET_AFTER + 1
    assert board.details("b") == {}


class FakeActor:
    """Has a board behind methods as Ray's are, or is gone."""

    def __init__(self) -> None:
        self.board = Board()
        self.gone = False

    def __getattr__(self, name: str) -> Any:
        """Returns something with a `remote`."""
        return FakeMethod(self, name)


class FakeMethod:
    """A method of a fake actor."""

    def __init__(self, actor: FakeActor, name: str) -> None:
        self._actor, self._name = actor, name

    async def remote(self, *arguments: Any) -> Any:
        """Calls it."""
        if self._actor.gone:
            raise ConnectionError("gone")
        return getattr(self._actor.board, self._name)(*arguments)


async def test_a_board_that_is_gone_is_made_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    """The actor is looked up once; the call that finds it gone fails, and the next one finds or makes another."""
    actors = [FakeActor(), FakeActor()]
    found: list[FakeActor] = []

    def find_or_make() -> FakeActor:
        found.append(actors[len(found)])
        return found[-1]

    monkeypatch.setattr(ray_statistics_board, "_find_or_make", find_or_make)
    board = RayStatisticsBoard()
    await board.publish("a", b"A")
    assert [figures for _, figures in await board.others("b")] == [b"A"]
    assert await board.details("b") == {}
    assert await board.publish("a", b"A", b"details")
    assert await board.details("b") == {"a": b"details"}
    assert len(found) == 1
    actors[0].gone = True
    with pytest.raises(ConnectionError):
        await board.others("b")
    assert await board.others("b") == []
    assert found == actors
