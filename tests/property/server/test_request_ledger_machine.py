"""Any interleaving of claims, endings and time: one execution at most for an id, and no answer crosses payloads."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from server.results.request_ledger import RequestKey, RequestLedger, Turn

KEYS = st.builds(RequestKey, st.sampled_from(["desk", "fund"]), st.sampled_from(["1", "2"]))
PAYLOADS = st.sampled_from([b"p", b"q", b"r"])
WINDOW = 10.0


class Ledger(RuleBasedStateMachine):
    """Drives the ledger as tasks would, beside a plain account of what was answered when."""

    @initialize(entries=st.integers(1, 3), room=st.integers(0, 3000))
    def begin(self, entries: int, room: int) -> None:
        """Makes a small ledger, so that answers are crowded out, too."""
        self.now = 0.0
        self.ledger = RequestLedger(window=WINDOW, max_entries=entries, max_bytes=room)
        self.running: dict[RequestKey, bytes] = {}
        self.waiting: list[tuple[RequestKey, bytes]] = []
        self.answered: dict[RequestKey, tuple[bytes, float]] = {}
        self.serial = 0
        self.answers: dict[bytes, tuple[RequestKey, bytes]] = {}

    def _claim(self, key: RequestKey, payload: bytes) -> None:
        turn = self.ledger.claim(key, payload, self.now)
        waited = {other for name, other in self.waiting if name == key}
        if isinstance(turn, bytes):
            assert self.answers[turn] == (key, payload), "an answer reached another request"
            of, at = self.answered[key]
            assert of == payload
            assert self.now - at < WINDOW, "an answer outlived the window"
        elif turn is Turn.RUN:
            assert key not in self.running, "two executions for one id"
            assert waited <= {payload}, "the id was taken from those that wait"
            self.running[key] = payload
        elif turn is Turn.WAIT:
            assert self.running[key] == payload
            self.waiting.append((key, payload))
        else:
            known = {self.running.get(key), *waited}
            if key in self.answered and self.now - self.answered[key][1] < WINDOW:
                known.add(self.answered[key][0])
            assert known - {None, payload}, "refused without a reason"

    @rule(key=KEYS, payload=PAYLOADS)
    def ask(self, key: RequestKey, payload: bytes) -> None:
        """Somebody asks."""
        self._claim(key, payload)

    @rule(data=st.data())
    def complete(self, data: st.DataObject) -> None:
        """An execution ends with an answer."""
        if not self.running:
            return
        key = data.draw(st.sampled_from(sorted(self.running)))
        payload = self.running.pop(key)
        self.serial += 1
        answer = f"answer {self.serial}".encode()
        self.answers[answer] = (key, payload)
        self.answered[key] = (payload, self.now)
        self.ledger.complete(key, answer, self.now)

    @rule(data=st.data())
    def fail(self, data: st.DataObject) -> None:
        """An execution fails, or is cancelled."""
        if self.running:
            key = data.draw(st.sampled_from(sorted(self.running)))
            del self.running[key]
            self.ledger.fail(key)

    @rule(data=st.data(), again=st.booleans())
    def stop_waiting(self, data: st.DataObject, again: bool) -> None:
        """One that waits is woken and asks again, or gives up."""
        if not self.waiting:
            return
        key, payload = self.waiting.pop(data.draw(st.integers(0, len(self.waiting) - 1)))
        self.ledger.leave(key)
        if again:
            self._claim(key, payload)

    @rule(seconds=st.floats(0, 2 * WINDOW))
    def pass_time(self, seconds: float) -> None:
        """Time goes by."""
        self.now += seconds

    @invariant()
    def is_bounded(self) -> None:
        """What is remembered keeps its bounds, and figures are never negative."""
        told = self.ledger.statistics()
        assert told.entries <= self.ledger.max_entries
        assert 0 <= told.size_bytes <= self.ledger.max_bytes
        assert (told.entries == 0) == (told.size_bytes == 0)

    def teardown(self) -> None:
        """When all have ended and the window has passed, every id is free."""
        if not hasattr(self, "ledger"):
            return
        for key in self.running:
            self.ledger.fail(key)
        for key, _ in self.waiting:
            self.ledger.leave(key)
        self.now += WINDOW + 1  # not to the last bit: the sum is rounded, and so is the difference
        for caller in ("desk", "fund"):
            for number in ("1", "2"):
                assert self.ledger.claim(RequestKey(caller, number), b"new", self.now) is Turn.RUN


Ledger.TestCase.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)
TestLedger = Ledger.TestCase
