"""Laws of the halts in force: what lies in a halted scope is refused, ended, and not answered after a resume."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.refusal import Reason, Refusal
from server.security.halt import EVERYTHING, Halt, HaltScope, ScopeKind, Subject
from server.security.halt_set import HaltSet
from server.security.halt_view import HaltChange, Halts

MODEL = HaltScope(ScopeKind.MODEL, "m")
VERSION = HaltScope(ScopeKind.MODEL, "m", 2)
SYMBOL = HaltScope(ScopeKind.SYMBOL, "EUR")
KEY = HaltScope(ScopeKind.KEY, "desk")
SUBJECT = Subject("m", 2, "EUR", "desk")
OTHERS = Subject("n", 1, "USD", "other")
SCOPES = (EVERYTHING, MODEL, VERSION, SYMBOL, KEY)


def halt(scope: HaltScope, at: float = 1.0, reason: str = "why") -> Halt:
    """Returns a halt."""
    return Halt(scope=scope, reason=reason, author="ops", halted_at=at)


def halts_of(*scopes: HaltScope) -> HaltSet:
    """Returns halts of scopes, each a change."""
    found = HaltSet()
    for scope in scopes:
        found = found.halted(halt(scope))
    return found


@pytest.mark.parametrize("scope", SCOPES, ids=str)
def test_a_scope_stops_what_lies_in_it(scope: HaltScope) -> None:
    """And nothing else, but for everything; a name of one kind is none of another's."""
    view = Halts()
    view.apply(halts_of(scope))
    with pytest.raises(Refusal) as caught:
        view.check(SUBJECT)
    assert caught.value.reason is Reason.HALTED
    assert caught.value.metadata == {"scope": str(scope), "since": "1970-01-01T00:00:01.000Z", "reason": "why"}
    assert (view.refusal(OTHERS) is None) is (scope is not EVERYTHING)
    assert (view.refusal(Subject("EUR", 1, "desk", "m")) is None) is (scope is not EVERYTHING)


def test_a_version_is_halted_alone_or_with_its_model() -> None:
    """Another version goes on until the whole model is halted."""
    view = Halts()
    view.apply(halts_of(VERSION))
    assert view.refusal(Subject("m", 3)) is None
    view.apply(halts_of(VERSION, MODEL))
    assert view.refusal(Subject("m", 3)) is not None


@given(st.lists(st.tuples(st.booleans(), st.sampled_from(SCOPES)), max_size=12))
def test_each_change_counts_and_the_last_word_on_a_scope_holds(changes: list[tuple[bool, HaltScope]]) -> None:
    """A resume of what is not halted is no change."""
    halts, expected, generation = HaltSet(), set[HaltScope](), 0
    for is_halt, scope in changes:
        if is_halt:
            halts, generation = halts.halted(halt(scope)), generation + 1
            expected.add(scope)
        else:
            generation += scope in expected
            halts = halts.resumed(scope)
            expected.discard(scope)
    assert (set(halts.halts), halts.generation) == (expected, generation)
    found = halts.find(SUBJECT)
    assert (found is not None) is bool(expected)


def test_the_first_time_of_a_halt_stays() -> None:
    """Whoever halts again what is halted gives a new reason, and it has been halted since the first time."""
    halts = HaltSet().halted(halt(SYMBOL, at=5.0)).halted(halt(SYMBOL, at=9.0, reason="again"))
    assert [(one.halted_at, one.reason) for one in halts] == [(5.0, "again")]


def test_joining_forgets_no_halt() -> None:
    """Of two sets neither is known to be newer, so all of both are in force, under a number above both."""
    joined = halts_of(KEY).joined(halts_of(SYMBOL, MODEL))
    assert (set(joined.halts), joined.generation) == ({KEY, SYMBOL, MODEL}, 3)


async def test_what_is_under_way_ends_when_its_halt_comes() -> None:
    """With HALTED, at once; what lies outside goes on to its end."""
    view, never, soon = Halts(), asyncio.Event(), asyncio.Event()

    async def run(subject: Subject, event: asyncio.Event) -> str:
        async with view.ending(subject):
            await event.wait()
            return "answered"

    stopped, going_on = asyncio.create_task(run(SUBJECT, never)), asyncio.create_task(run(OTHERS, soon))
    await asyncio.sleep(0)
    view.apply(halts_of(SYMBOL))
    view.apply(halts_of(SYMBOL, VERSION))  # the second halt of the same prediction changes nothing
    with pytest.raises(Refusal) as caught:
        await stopped
    assert caught.value.metadata["scope"] == "symbol EUR"
    soon.set()
    assert await going_on == "answered"


async def test_a_time_limit_inside_is_not_taken_for_a_halt() -> None:
    """A TimeoutError of the work's own passes through as it is."""
    view = Halts()
    with pytest.raises(TimeoutError):
        async with view.ending(SUBJECT):
            raise TimeoutError


async def test_a_cancellation_stays_one() -> None:
    """A caller who has gone is not told that he was halted."""
    view, never = Halts(), asyncio.Event()

    async def run() -> None:
        async with view.ending(SUBJECT):
            await never.wait()

    task = asyncio.create_task(run())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


def test_what_was_asked_for_before_a_resume_stays_refused() -> None:
    """It waited while it was halted; what comes after the resume is answered."""
    clock = [100.0]
    view = Halts(clock=lambda: clock[0])
    view.apply(halts_of(SYMBOL))
    clock[0] = 200.0
    view.apply(HaltSet(generation=2))
    assert view.refusal(SUBJECT, received_at=199.0) is not None
    assert view.refusal(SUBJECT, received_at=200.0) is None
    assert view.refusal(OTHERS, received_at=199.0) is None
    clock[0] = 900.0  # long after no request is left that waited
    view.apply(halts_of(KEY))
    assert view.refusal(Subject("m", 2, "EUR"), received_at=199.0) is None


def test_each_change_is_told_once() -> None:
    """What began and what ended; nothing where all is as it was."""
    view, told = Halts(), list[HaltChange]()
    view.on_change(told.append)
    view.apply(halts_of(SYMBOL, KEY))
    view.apply(halts_of(SYMBOL, KEY))
    view.apply(halts_of(MODEL, KEY))
    began = [{halt.scope for halt in change.begun} for change in told]
    assert began == [{SYMBOL, KEY}, {MODEL}]
    assert [[halt.scope for halt in change.ended] for change in told] == [[], [SYMBOL]]


def test_a_replica_that_knows_nothing_answers_nothing() -> None:
    """The refusal says so; it is as typed as that of a halt."""
    view = Halts()
    view.is_closed = True
    refusal = view.refusal(Subject())
    assert refusal is not None
    assert (refusal.reason, refusal.metadata["scope"]) == (Reason.HALTED, "unknown")
    assert not view.is_idle


@pytest.mark.parametrize(
    ("kind", "name", "version"),
    [
        (ScopeKind.EVERYTHING, "m", 0),
        (ScopeKind.SYMBOL, "", 0),
        (ScopeKind.SYMBOL, "EUR", 1),
        (ScopeKind.MODEL, "m", -1),
    ],
)
def test_a_scope_that_makes_no_sense_cannot_be_made(kind: ScopeKind, name: str, version: int) -> None:
    """Parts that do not belong together are refused."""
    with pytest.raises(ValueError, match=r"scope|version"):
        HaltScope(kind, name, version)
