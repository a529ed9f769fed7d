"""Laws of open streams: whoever loses his key loses them, with a word of why; nobody else does."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from server.call import Call
from server.grant import Grant
from server.refusal import Reason, Refusal
from server.security.authorizer import Authorizer
from server.security.halt_view import Halts
from server.security.key_file import write_keys
from server.security.key_ring import KeyRing
from server.security.open_streams import OpenStreams
from tests.support.doors import made_key, open_to_all, written_keys
from tests.support.halts import EVERYTHING, halted, scope
from tests.support.windows import eventually


class Door:
    """Keys on a clock of the test's, and the streams that were opened with them.

    Attributes:
        now: Seconds since the epoch.
        ends: What each stream was ended with, by key.
    """

    def __init__(self, path: Path, held: ExitStack) -> None:
        self.path = path
        self.now = 0.0
        self.ends: dict[str, list[Reason]] = {}
        self.made = {name: made_key(name, expires_at=100.0 if name == "brief" else None) for name in ("desk", "brief")}
        written_keys(path, *self.made.values())
        self.ring = KeyRing(path)
        self.ring.load()
        self.authorizer = Authorizer(wall_clock=lambda: self.now)
        self.authorizer.open(ring=self.ring)
        self.halts = Halts()
        self.streams = OpenStreams(self.halts, self.authorizer)
        for name in self.made:
            self.ends[name] = []
            held.enter_context(self.streams.held(call_of(name), self.end_of(name)))

    def end_of(self, name: str) -> Callable[[Refusal], None]:
        """Returns what ends a key's stream."""
        return lambda refusal: self.ends[name].append(refusal.reason)

    def rewrite(self, *names: str) -> None:
        """Leaves these keys alone in the file, and has it read."""
        write_keys(self.path, {name: self.made[name][1] for name in names})
        self.ring.look()


def call_of(key_id: str) -> Call:
    """Returns a stream's call."""
    return Call(
        method="/tickserve.v1.PredictionService/StreamTicks", received_at=0.0, grant=Grant(key_id=key_id, owner="o")
    )


@pytest.fixture
def door(tmp_path: Path) -> Iterator[Door]:
    """Two keys with a stream each."""
    with ExitStack() as held:
        yield Door(tmp_path / "keys.json", held)


def test_who_keeps_his_key_keeps_his_stream(door: Door) -> None:
    """However often he is looked at, and whatever else is halted."""
    halted(door.halts, EVERYTHING, scope("symbol", "desk"))
    for _ in range(3):
        door.streams.review()
    assert door.ends == {"desk": [], "brief": []}


def test_a_revoked_key_loses_its_stream(door: Door) -> None:
    """Once, with API_KEY_INVALID; the other key does not."""
    door.rewrite("brief")
    door.streams.review()
    door.streams.review()
    assert door.ends == {"desk": [Reason.API_KEY_INVALID], "brief": []}


def test_a_key_that_is_another_now_loses_the_stream_of_the_former(door: Door) -> None:
    """The same id with another secret: whoever has the old one is out."""
    door.made["desk"] = made_key("desk")
    door.rewrite("desk", "brief")
    door.streams.review()
    assert door.ends["desk"] == [Reason.API_KEY_INVALID]


def test_a_key_that_does_not_open_the_method_any_more_loses_the_stream(door: Door) -> None:
    """With METHOD_NOT_ALLOWED, as a new one would be refused."""
    token, key = door.made["desk"]
    _, narrow = made_key("desk", methods=("Predict",))
    door.made["desk"] = token, type(key)(sha256=key.sha256, grant=key.grant, methods=narrow.methods)
    door.rewrite("desk", "brief")
    door.streams.review()
    assert door.ends["desk"] == [Reason.METHOD_NOT_ALLOWED]


def test_a_key_that_expires_loses_its_stream(door: Door) -> None:
    """At its time, to the second."""
    door.now = 99.9
    door.streams.review()
    assert door.ends["brief"] == []
    door.now = 100.0
    door.streams.review()
    assert door.ends == {"desk": [], "brief": [Reason.API_KEY_INVALID]}


def test_a_halted_key_loses_its_stream_at_once_and_gets_no_other(door: Door) -> None:
    """Without waiting for the next look."""
    halted(door.halts, scope("key", "desk"))
    assert door.ends == {"desk": [Reason.HALTED], "brief": []}
    with pytest.raises(Refusal) as caught, door.streams.held(call_of("desk"), door.end_of("desk")):
        pass
    assert caught.value.reason is Reason.HALTED


def test_a_stream_that_is_over_is_not_ended(tmp_path: Path) -> None:
    """Nobody is left to be told."""
    held = ExitStack()
    door = Door(tmp_path / "keys.json", held)
    held.close()
    door.rewrite()
    door.streams.review()
    assert door.ends == {"desk": [], "brief": []}


def test_where_no_keys_are_asked_for_all_streams_stay() -> None:
    """A certificate's holder has no key that could be revoked; he can be halted."""
    halts, ends = Halts(), list[Refusal]()
    streams = OpenStreams(halts, open_to_all())
    known = Call(method="/s/StreamTicks", received_at=0.0, owner="gateway")
    with streams.held(known, ends.append), streams.held(Call(method="/s/StreamTicks", received_at=0.0), ends.append):
        streams.review()
        assert not ends
        halted(halts, scope("key", "gateway"))
        assert [refusal.reason for refusal in ends] == [Reason.HALTED]


async def test_the_review_goes_on_by_itself(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    """Again and again, whatever a review runs into."""
    monkeypatch.setattr("server.security.open_streams.INTERVAL", 0.0)
    reviews, real = 0, door.streams.review

    def review() -> None:
        nonlocal reviews
        reviews += 1
        if reviews == 1:
            raise RuntimeError("a fault of ours")
        real()

    monkeypatch.setattr(door.streams, "review", review)
    door.now = 100.0
    task = asyncio.create_task(door.streams.run())
    await eventually(lambda: door.ends["brief"])
    assert door.ends["brief"] == [Reason.API_KEY_INVALID]
    task.cancel()
