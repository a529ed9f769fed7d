"""Laws of keeping halts: a lost store lifts none, a halt that cannot be stored is obeyed and stored later."""

import asyncio
import logging

import pytest

from server.security.halt import EVERYTHING, Halt, HaltScope, ScopeKind, Subject
from server.security.halt_keeper import HaltKeeper
from server.security.halt_set import HaltSet
from server.security.halt_store import HaltStoreError
from server.security.halt_view import Halts
from tests.support.memory_halt_store import MemoryHaltStore

SYMBOL = HaltScope(ScopeKind.SYMBOL, "EUR")
KEY = HaltScope(ScopeKind.KEY, "desk")


def halt(scope: HaltScope) -> Halt:
    """Returns a halt."""
    return Halt(scope=scope, reason="why", author="ops", halted_at=1.0)


class Replica:
    """A view and what keeps it, on a store that several may share."""

    def __init__(self, store: MemoryHaltStore, *, fail_closed: bool = True) -> None:
        self.view = Halts()
        self.keeper = HaltKeeper(self.view, store, fail_closed=fail_closed)

    @property
    def scopes(self) -> list[HaltScope]:
        """What it obeys."""
        return [halt.scope for halt in self.view.current]


async def test_a_halt_reaches_every_replica_and_a_new_one() -> None:
    """Over the store; so does its end, and the state says how many there are."""
    store = MemoryHaltStore()
    one, two = Replica(store), Replica(store)
    await one.keeper.halt(halt(SYMBOL))
    assert one.scopes == [SYMBOL]
    await two.keeper.look()
    fresh = Replica(store)
    await fresh.keeper.load()
    assert two.scopes == fresh.scopes == [SYMBOL]
    assert two.keeper.state.counts == {ScopeKind.SYMBOL: 1}
    ended = await two.keeper.resume(SYMBOL, author="ops", reason="")
    assert ended == halt(SYMBOL)
    await one.keeper.look()
    assert one.scopes == two.scopes == []
    assert await two.keeper.resume(SYMBOL, author="ops", reason="") is None


async def test_a_store_that_is_gone_lifts_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """It is told once, and once more when it is back."""
    store = MemoryHaltStore()
    replica = Replica(store)
    await replica.keeper.halt(halt(EVERYTHING))
    store.fails = True
    caplog.clear()
    with caplog.at_level(logging.WARNING, logger="tickserve"):
        for _ in range(3):
            await replica.keeper.look()
        assert (replica.scopes, replica.keeper.state.is_stale) == ([EVERYTHING], True)
        store.fails = False
        await replica.keeper.look()
    assert not replica.keeper.state.is_stale
    assert [record.levelname for record in caplog.records] == ["ERROR", "WARNING"]


async def test_a_store_that_has_lost_its_halts_gets_them_back() -> None:
    """Whoever notices first writes them; what was halted in the empty store meanwhile is kept, too."""
    store = MemoryHaltStore()
    one, two = Replica(store), Replica(store)
    for scope in (SYMBOL, EVERYTHING):
        await one.keeper.halt(halt(scope))
    await two.keeper.look()
    store.halts = HaltSet().halted(halt(KEY))
    for replica in (two, one):
        await replica.keeper.look()
    assert set(store.halts.halts) == set(one.scopes) == set(two.scopes) == {SYMBOL, EVERYTHING, KEY}


async def test_a_halt_that_cannot_be_stored_holds_here_and_is_stored_later() -> None:
    """Whoever asked is told that it is not stored. A resume that cannot be stored has not happened."""
    store = MemoryHaltStore()
    replica = Replica(store)
    store.fails = True
    with pytest.raises(HaltStoreError):
        await replica.keeper.halt(halt(SYMBOL))
    await replica.keeper.look()
    assert replica.scopes == [SYMBOL]
    with pytest.raises(HaltStoreError):
        await replica.keeper.resume(SYMBOL, author="ops", reason="")
    assert replica.scopes == [SYMBOL]
    store.fails = False
    # Another replica's change in the meantime does not push it out.
    await store.halt(halt(KEY))
    await replica.keeper.look()
    assert set(store.halts.halts) == set(replica.scopes) == {SYMBOL, KEY}


async def test_a_look_that_began_before_a_change_does_not_undo_it() -> None:
    """What was read before is older than what was obeyed since."""
    store = MemoryHaltStore()
    replica = Replica(store)
    await replica.keeper.halt(halt(KEY))
    store.held.clear()
    look = asyncio.create_task(replica.keeper.look())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    await replica.keeper.halt(halt(SYMBOL))
    store.held.set()
    await look
    assert set(replica.scopes) == {KEY, SYMBOL}


@pytest.mark.parametrize("fail_closed", [True, False])
async def test_a_replica_that_never_read_the_store(*, fail_closed: bool) -> None:
    """Refuses everything until it has, unless the settings say that it may answer."""
    store = MemoryHaltStore()
    store.fails = True
    replica = Replica(store, fail_closed=fail_closed)
    await replica.keeper.load()
    assert (replica.view.refusal(Subject()) is not None) is fail_closed
    assert (replica.keeper.state.is_closed, replica.keeper.state.is_stale) == (fail_closed, True)
    store.fails = False
    await replica.keeper.look()
    assert replica.view.refusal(Subject()) is None


async def test_changes_and_their_taking_notice_are_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    """Who, what, why and since when: where it was asked for, and on every replica that obeys."""
    store = MemoryHaltStore()
    one, two = Replica(store), Replica(store)
    with caplog.at_level(logging.WARNING, logger="tickserve"):
        await one.keeper.halt(halt(SYMBOL))
        await two.keeper.look()
        await one.keeper.resume(SYMBOL, author="night-desk", reason="fixed")
        await two.keeper.look()
    words = [record.getMessage().rpartition(":")[0] for record in caplog.records]
    assert words == ["halt asked for", "halt in force", "halt in force", "resume asked for", "halt ended", "halt ended"]
    first, resumed = vars(caplog.records[0]), vars(caplog.records[3])
    assert (first["scope"], first["author"], first["halt_reason"]) == ("symbol EUR", "ops", "why")
    assert first["since"] == "1970-01-01T00:00:01.000Z"
    assert (resumed["author"], resumed["resume_reason"], resumed["was_halted"]) == ("night-desk", "fixed", True)


async def test_a_store_that_hangs_is_asked_once_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder that does not answer costs one thread, not one more with each look."""
    monkeypatch.setattr("server.security.halt_keeper._READ_TIMEOUT", 0.0)
    store = MemoryHaltStore()
    reads = 0
    real = store.read

    async def counted() -> HaltSet:
        nonlocal reads
        reads += 1
        return await real()

    monkeypatch.setattr(store, "read", counted)
    store.held.clear()
    replica = Replica(store, fail_closed=False)
    for _ in range(3):
        await replica.keeper.look()
        await asyncio.sleep(0)
    assert (reads, replica.keeper.state.is_stale) == (1, True)
    await replica.keeper.halt(halt(EVERYTHING))
    assert replica.view.refusal(Subject()) is not None, "it can be halted all the while"
    await replica.keeper.close()
