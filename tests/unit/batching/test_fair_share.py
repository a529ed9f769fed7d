"""Fairness between the callers of one class."""

from batching.config import SchedulerConfig
from batching.fair_share import MAX_IDLE_CALLERS, FairShare
from batching.priority import PriorityClass
from batching.request import Request
from batching.scheduler import Scheduler


def test_flood_waits_behind_everybodys_current_round() -> None:
    """Law 4: the surplus of a flood goes behind a caller within its share, whatever the deadlines."""
    scheduler: Scheduler[str, str] = Scheduler(SchedulerConfig(max_batch_size=1, fairness_quantum=2))

    def submit(caller: str, deadline: float) -> None:
        scheduler.submit(
            Request(priority=PriorityClass.STANDARD, deadline=deadline, batch_key="m", caller=caller, payload=caller),
            0.0,
        )

    for _ in range(6):
        submit("flood", 1.0)
    submit("small", 9.0)
    served: list[str] = []
    while (batch := scheduler.choose(0.0)) is not None:
        served.extend(batch.payloads)
    assert served == ["flood", "flood", "small", "flood", "flood", "flood", "flood"]


def test_round_does_not_pass_one_that_waits_for_another_key() -> None:
    """Law 4: what rides along in another key's batch does not set newcomers back behind earlier rounds."""
    scheduler: Scheduler[str, str] = Scheduler(SchedulerConfig(max_batch_size=3, fairness_quantum=1))

    def submit(caller: str, key: str, deadline: float) -> None:
        scheduler.submit(
            Request(priority=PriorityClass.STANDARD, deadline=deadline, batch_key=key, caller=caller, payload=caller),
            0.0,
        )

    for _ in range(4):
        submit("flood", "x", 1.0)  # rounds 0 to 3, of which the first batch takes 0 to 2
    submit("early", "y", 9.0)  # round 0
    first = scheduler.choose(0.0)
    assert first is not None
    assert first.payloads == ("flood", "flood", "flood")
    submit("newcomer", "y", 5.0)  # round 0, like the one that waits, and with an earlier deadline
    second = scheduler.choose(0.0)
    assert second is not None
    assert second.payloads == ("newcomer", "early")


def test_places_fill_round_after_round() -> None:
    """A caller gets its quantum in one round, then the next."""
    share = FairShare(2)
    assert [share.place("a")[0] for _ in range(5)] == [0, 0, 1, 1, 2]
    assert share.place("b")[0] == 0


def test_newcomer_starts_at_the_current_round() -> None:
    """Rounds that have gone by are nobody's credit."""
    share = FairShare(1)
    for _ in range(4):
        share.place("a")
    share.advance(3)
    assert share.place("b")[0] == 3
    share.advance(2)
    assert share.place("b")[0] == 4


def test_place_of_the_dead_is_given_back() -> None:
    """A request that died in the queue has cost its caller nothing; one that was served has."""
    share = FairShare(1)
    places = [share.place("a") for _ in range(3)]
    share.served(places[0][1])
    share.release(places[1][1], places[1][0])
    assert [share.place("a")[0] for _ in range(2)] == [1, 3]


def test_place_that_has_gone_by_is_not_given_back() -> None:
    """A place in a round behind the current one is of no use to anybody."""
    share = FairShare(1)
    places = [share.place("a") for _ in range(3)]
    share.release(places[0][1], places[0][0])
    share.advance(2)
    assert share.place("a")[0] == 3


def test_other_quantum_counts_from_the_next_placement() -> None:
    """The quantum can change live: places already given stand."""
    share = FairShare(1)
    assert [share.place("a")[0] for _ in range(2)] == [0, 1]
    share.quantum = 3
    assert [share.place("a")[0] for _ in range(4)] == [1, 1, 2, 2]


def test_number_of_remembered_callers_is_bounded() -> None:
    """Law 10: callers that come once are forgotten even if the round never moves by itself."""
    share = FairShare(64)
    waiting = share.place("waits all the time")
    for number in range(20 * MAX_IDLE_CALLERS):
        share.served(share.place(f"caller {number}")[1])
        assert len(share) <= 2 * MAX_IDLE_CALLERS
    assert waiting[0] == 0
    assert share.current_round > 0


def test_being_forgotten_gains_no_second_share() -> None:
    """A forgotten caller never gets a place in a round in which it has used one."""
    share = FairShare(2)
    share.place("waits all the time")
    used: dict[tuple[str, int], int] = {}
    for number in range(30 * MAX_IDLE_CALLERS):
        caller = f"caller {number * number % (3 * MAX_IDLE_CALLERS)}"
        round_, record = share.place(caller)
        share.served(record)
        used[caller, round_] = used.get((caller, round_), 0) + 1
    assert max(used.values()) == 2
