"""Laws of readiness: each trouble has its name, and only what a new process mends ends a replica's life."""

import itertools

import pytest

from server.health.readiness import FATAL, WARMING_UP, Blocker, Situation, judge

TROUBLES = {
    Blocker.DRAINING: {"draining": True},
    Blocker.STOPPED: {"stopped": True},
    Blocker.LOOP_DEAD: {"loop_alive": False},
    Blocker.ENGINE_HUNG: {"engine_hung": True},
    Blocker.MODEL_MISSING: {"model_loaded": False},
}


def test_a_replica_without_trouble_is_ready_and_live() -> None:
    """Nothing is in the way."""
    found = judge(Situation(started=True))
    assert (found.ready, found.live, found.blockers) == (True, True, ())


@pytest.mark.parametrize("blocker", TROUBLES, ids=lambda blocker: blocker.name)
def test_each_trouble_is_named(blocker: Blocker) -> None:
    """One trouble alone is one reason, and the replica takes no requests."""
    found = judge(Situation(started=True, **TROUBLES[blocker]))
    assert (found.ready, found.blockers) == (False, (blocker,))
    assert found.live == (blocker not in FATAL)


def test_what_has_not_come_up_is_not_judged_by_its_parts() -> None:
    """While a large model loads the loop may stand and nothing is there yet: that is no reason to end the process."""
    found = judge(Situation(started=False, loop_alive=False, engine_hung=True, model_loaded=False))
    assert found == WARMING_UP
    assert (found.ready, found.live) == (False, True)


def test_a_stopped_loop_is_not_dead() -> None:
    """A replica that has been closed has no beats, and nobody need replace it."""
    assert judge(Situation(started=True, stopped=True, loop_alive=False)).blockers == (Blocker.STOPPED,)


def test_troubles_add_up_and_never_hide_each_other() -> None:
    """Of any set of troubles each is told once, always in the same order; one of them suffices not to be ready."""
    order = [Blocker.ENGINE_HUNG, Blocker.LOOP_DEAD, Blocker.STOPPED, Blocker.DRAINING, Blocker.MODEL_MISSING]
    for count in range(len(TROUBLES) + 1):
        for chosen in itertools.combinations(TROUBLES, count):
            situation = Situation(started=True, **{k: v for one in chosen for k, v in TROUBLES[one].items()})
            expected = [blocker for blocker in order if blocker in chosen]
            if Blocker.STOPPED in chosen and Blocker.LOOP_DEAD in chosen:
                expected.remove(Blocker.LOOP_DEAD)
            found = judge(situation)
            assert list(found.blockers) == expected
            assert found.ready == (not expected)
            assert found.live == FATAL.isdisjoint(expected)
