"""Laws of the loop's watchdog: a loop that stands still is told of once, with its place; one that turns never."""

import asyncio
import logging
import threading

import pytest

from server.health import loop_watchdog
from server.health.loop_watchdog import INTERVAL, LoopVigil, LoopWatchdog


def test_silence_grows_with_looks_in_vain() -> None:
    """Only looks that find the same number of turns count, and one turn ends the silence."""
    vigil = LoopVigil()
    vigil.look(7)
    assert vigil.silence == 0
    for count in range(1, 5):
        vigil.look(7)
        assert vigil.silence == count * INTERVAL
    vigil.look(8)
    assert vigil.silence == 0


def test_a_stopped_process_is_not_a_blocked_loop() -> None:
    """After any pause of the whole process there is one look in vain at most before the loop has had its turn."""
    vigil = LoopVigil()
    for turns in range(100):
        vigil.look(turns)
        vigil.look(turns)  # the thread came first after SIGCONT
        assert vigil.silence <= INTERVAL


@pytest.fixture
def fast(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets the watchdog look often: a unit test has no seconds to spare."""
    monkeypatch.setattr(loop_watchdog, "INTERVAL", 0.01)


@pytest.mark.usefixtures("fast")
async def test_a_blocked_loop_is_told_of_once_with_its_place(caplog: pytest.LogCaptureFixture) -> None:
    """`on_dead` runs in another thread while the loop is still blocked; the log names the function that blocks it."""
    dead = threading.Event()
    told: list[int] = []

    def on_dead() -> None:
        told.append(threading.get_ident())
        dead.set()

    watchdog = LoopWatchdog(on_dead, timeout=lambda: 0.05)
    watchdog.start()

    def blocks_everything() -> bool:
        return dead.wait(30)

    with caplog.at_level(logging.CRITICAL, "tickserve"):
        assert blocks_everything()
    await asyncio.sleep(0)
    watchdog.stop()
    assert len(told) == 1
    assert told != [threading.get_ident()]
    assert "blocks_everything" in caplog.text


@pytest.mark.usefixtures("fast")
async def test_it_can_be_off_and_on() -> None:
    """Timeout 0 lets the loop stand still for as long as it likes; a changed setting counts from the next look."""
    dead = threading.Event()
    looks: list[float] = []
    enough = threading.Event()
    timeout = 0.0

    def read() -> float:
        looks.append(timeout)
        if len(looks) == 20:
            enough.set()
        return timeout

    watchdog = LoopWatchdog(dead.set, timeout=read)
    watchdog.start()
    assert enough.wait(30)  # blocks the loop
    assert not dead.is_set()
    timeout = 0.02
    assert dead.wait(30)
    watchdog.stop()


@pytest.mark.usefixtures("fast")
async def test_stop_ends_the_thread() -> None:
    """After `stop` nothing watches any more: a loop that closes is not a blocked one."""
    watchdog = LoopWatchdog(lambda: None, timeout=lambda: 1.0)
    watchdog.start()
    [thread] = [each for each in threading.enumerate() if each.name == "loop-watchdog"]
    watchdog.stop()
    await asyncio.to_thread(thread.join, 30)
    assert not thread.is_alive()
    watchdog.stop()
