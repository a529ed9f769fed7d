"""How much of the machine work may take: all of it at the start, what is left of it beside a service.

Owns priorities and pauses. Knows nothing of the work.
"""

import os
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final, TypeVar

T = TypeVar("T")

# Against a thread of the usual priority 0, one of 10 gets a tenth of a contested core (weights 110 and 1024). Not 19:
# with two cores busy that left a loader 4 windows a second, so that a gate and a warm-up would have taken 5 minutes;
# 10 left it 25 to 55, and cost the serving engine's median 5 to 10 % against none.
NICENESS: Final = 10


@dataclass(frozen=True, slots=True)
class Pace:
    """What work has to mind between its slices.

    Attributes:
        pause: To be called after each slice; may wait.
        clock: Seconds of this thread's work, to time slices with.
    """

    pause: Callable[[], None]
    clock: Callable[[], float]


FULL_PACE: Final = Pace(pause=lambda: None, clock=time.perf_counter)


class TurnTaking:
    """Waits after each slice for as long as the slice took: others get every second turn.

    Args:
        clock: Monotonic seconds.
        sleep: Waits for so many seconds.
    """

    def __init__(
        self, clock: Callable[[], float] = time.perf_counter, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        self._clock, self._sleep = clock, sleep
        self._resumed = clock()

    def pause(self) -> None:
        """Waits as long as it is since the last pause ended."""
        self._sleep(self._clock() - self._resumed)
        self._resumed = self._clock()


def run_beside(work: Callable[[Pace], T], *, single_threaded: bool) -> T:
    """Runs `work` with regard for what else this process does; blocks until it is done.

    Work that computes in its own thread alone gets a thread of low priority, where the system knows priorities of
    threads: the scheduler then takes turns at every tick, much finer than any slice, and uses what is idle. The thread
    ends with the work, because only a privileged process may raise a priority again. The thread's CPU time is its
    clock: at low priority, time on the wall tells more of the neighbours than of the work.

    Other work takes turns in slices instead. Threads that it starts would inherit the low priority and, kept in a
    library's pool, compute for the service with it ever after.

    Args:
        work: Calls `pause` between its slices.
        single_threaded: Whether it computes in the thread that runs it, and nowhere else.

    Raises:
        BaseException: What `work` raises.
    """
    if not (single_threaded and sys.platform == "linux"):
        return work(Pace(pause=TurnTaking().pause, clock=time.perf_counter))
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="beside", initializer=_lower_priority) as executor:
        return executor.submit(work, Pace(pause=lambda: None, clock=time.thread_time)).result()


def _lower_priority() -> None:
    # On Linux a thread's id names that thread alone here, although POSIX speaks of processes.
    os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), max(NICENESS, os.getpriority(os.PRIO_PROCESS, 0)))
