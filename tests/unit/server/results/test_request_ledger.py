"""Laws of the request ledger: who runs, who waits, who gets an answer again, and what is forgotten."""

import tracemalloc

import pytest

from server.results.request_ledger import RequestKey, RequestLedger, Turn

KEY = RequestKey("desk", "a")
ONE, OTHER = b"1" * 32, b"2" * 32
MIB = 1024**2


@pytest.fixture
def ledger() -> RequestLedger:
    """Remembers for a minute."""
    return RequestLedger(window=60.0, max_entries=100, max_bytes=MIB)


def answer(ledger: RequestLedger, key: RequestKey = KEY, *, payload: bytes = ONE, now: float = 0.0) -> None:
    """Runs one request to its end."""
    assert ledger.claim(key, payload, now) is Turn.RUN
    ledger.complete(key, b"answer of " + key.request_id.encode(), now)


def test_an_answer_is_given_again(ledger: RequestLedger) -> None:
    """To the same caller, id and payload, until the window has passed, and not from then on."""
    answer(ledger, now=10.0)
    assert ledger.claim(KEY, ONE, 69.9) == b"answer of a"
    assert ledger.claim(KEY, ONE, 70.0) is Turn.RUN
    assert ledger.statistics().replays == 1


def test_another_payload_is_refused_while_the_id_is_known(ledger: RequestLedger) -> None:
    """While it runs, and while its answer is remembered; then the id is free."""
    ledger.claim(KEY, ONE, 0.0)
    assert ledger.claim(KEY, OTHER, 0.0) is Turn.REUSED
    ledger.complete(KEY, b"x", 0.0)
    assert ledger.claim(KEY, OTHER, 59.0) is Turn.REUSED
    assert ledger.claim(KEY, OTHER, 60.0) is Turn.RUN
    assert ledger.statistics().reused == 2


def test_callers_do_not_meet(ledger: RequestLedger) -> None:
    """The same id of another caller is another request."""
    answer(ledger)
    assert ledger.claim(RequestKey("other desk", "a"), OTHER, 0.0) is Turn.RUN


def test_a_repeat_waits_and_then_gets_the_answer(ledger: RequestLedger) -> None:
    """One execution, however many ask."""
    assert [ledger.claim(KEY, ONE, 0.0) for _ in range(3)] == [Turn.RUN, Turn.WAIT, Turn.WAIT]
    ledger.complete(KEY, b"x", 0.0)
    for _ in range(2):
        ledger.leave(KEY)
        assert ledger.claim(KEY, ONE, 0.0) == b"x"


def test_a_failure_is_not_remembered(ledger: RequestLedger) -> None:
    """The next one runs itself, with whatever payload."""
    ledger.claim(KEY, ONE, 0.0)
    ledger.fail(KEY)
    assert ledger.claim(KEY, OTHER, 0.0) is Turn.RUN


def test_after_a_failure_one_of_those_that_waited_runs(ledger: RequestLedger) -> None:
    """Just one, the others wait for it; the id stays theirs meanwhile."""
    assert [ledger.claim(KEY, ONE, 0.0) for _ in range(3)] == [Turn.RUN, Turn.WAIT, Turn.WAIT]
    ledger.fail(KEY)
    assert ledger.claim(KEY, OTHER, 0.0) is Turn.REUSED
    ledger.leave(KEY)
    assert ledger.claim(KEY, ONE, 0.0) is Turn.RUN
    ledger.leave(KEY)
    assert ledger.claim(KEY, ONE, 0.0) is Turn.WAIT


def test_whoever_gives_up_waiting_frees_the_id(ledger: RequestLedger) -> None:
    """With the last one that runs or waits, nothing is left."""
    ledger.claim(KEY, ONE, 0.0)
    ledger.claim(KEY, ONE, 0.0)
    ledger.fail(KEY)
    ledger.leave(KEY)
    assert ledger.claim(KEY, OTHER, 0.0) is Turn.RUN


def test_the_oldest_answers_make_room(ledger: RequestLedger) -> None:
    """By number and by bytes."""
    ledger.max_entries = 3
    for number in range(5):
        answer(ledger, RequestKey("desk", str(number)), now=float(number))
    again = [ledger.claim(RequestKey("desk", str(number)), ONE, 5.0) for number in range(5)]
    assert again[:2] == [Turn.RUN, Turn.RUN]
    assert again[2:] == [b"answer of 2", b"answer of 3", b"answer of 4"]
    ledger.max_bytes = 1
    for number in range(2):
        ledger.fail(RequestKey("desk", str(number)))
    assert ledger.claim(RequestKey("desk", "4"), ONE, 5.0) is Turn.RUN
    assert (ledger.statistics().entries, ledger.statistics().size_bytes) == (0, 0)


def test_the_bytes_told_are_the_bytes_held() -> None:
    """The budget is what the process grows by, to a fifth: ids and tables are counted."""
    ledger = RequestLedger(window=60.0, max_entries=100_000, max_bytes=64 * MIB)
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    for number in range(5000):
        key = RequestKey(f"desk {number:08}", f"request {number:08}")
        ledger.claim(key, number.to_bytes(32, "big"), 0.0)
        ledger.complete(key, bytes(bytearray(500)), number * 1e-3)
    held = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    assert held == pytest.approx(ledger.statistics().size_bytes, rel=0.2)
