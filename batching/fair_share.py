"""Owns fairness between the callers of one class. Must not know deadlines, heaps or requests.

A request is placed in a *round*; a class is served in order of (round, deadline, arrival). The rule:

- A caller may hold at most ``quantum`` places in one round and always gets its first free one, counting from the
  class's current round.
- The current round is that of the request served last, but never past a request that still waits.
- A request that dies in the queue gives its place back; one that is served has used it.
- When nothing waits in the class, all is forgotten.

**The law (law 4, fairness), in closed form.** Let a request q arrive while its caller holds u places from the current
round on. As long as the quantum stands and all share a batch key, at most ``quantum * (1 + u // quantum)`` requests of
any one other caller that are, or will be, in the class are served before q, however many it sends. So callers within
their share (u < quantum) are in pure deadline order among each other, and a flood's surplus waits behind everybody's
current round. (With several keys, a request may also ride along in an earlier batch of its own key; it takes room that
q could not have used.)

Bounded memory (law 10): a caller is forgotten once nothing of it waits and its round is behind. Should more than
``MAX_IDLE_CALLERS`` be left that neither wait nor are behind (very many callers, each with little), newcomers start at
a later round, so that forgetting gains nobody a second share; the bound above then counts from the earliest round that
waits.
"""

from heapq import heappop, heappush

#: How many callers with nothing waiting are remembered, at most, before the current round is moved on.
MAX_IDLE_CALLERS = 1024


class CallerShare:
    """One caller's places.

    Attributes:
        round: The last round it was given a new place in.
        used: How many places it was given in that round.
        freed: Rounds in which a place came back: a heap, one element a place.
        waiting: How many of its requests wait.
    """

    __slots__ = ("freed", "round", "used", "waiting")

    def __init__(self, first_round: int) -> None:
        self.round = first_round
        self.used = 0
        self.freed: list[int] = []
        self.waiting = 0


class FairShare:
    """Gives rounds to the requests of one class."""

    __slots__ = ("_callers", "_sweep_above", "current_round", "quantum")

    def __init__(self, quantum: int) -> None:
        self.quantum = quantum
        self.current_round = 0
        self._callers: dict[str, CallerShare] = {}
        self._sweep_above = MAX_IDLE_CALLERS

    def __len__(self) -> int:
        """Return the number of callers remembered."""
        return len(self._callers)

    def place(self, caller: str) -> tuple[int, CallerShare]:
        """Return the round of the caller's next request, and the share that must be told of its end."""
        current = self.current_round
        share = self._callers.get(caller)
        if share is None:
            if len(self._callers) >= self._sweep_above:
                self._sweep()
                current = self.current_round
            share = self._callers[caller] = CallerShare(current)
        share.waiting += 1
        freed = share.freed
        while freed and freed[0] < current:
            heappop(freed)
        if freed:
            return heappop(freed), share
        if share.round < current:
            share.round = current
            share.used = 0
        elif share.used >= self.quantum:
            share.round += 1
            share.used = 0
        share.used += 1
        return share.round, share

    def preview(self, caller: str) -> int:
        """Return the round that the caller's next request would get."""
        share = self._callers.get(caller)
        current = self.current_round
        if share is None:
            return current
        freed = share.freed
        while freed and freed[0] < current:
            heappop(freed)
        if freed:
            return freed[0]
        return max(current, share.round + (share.used >= self.quantum))

    def release(self, share: CallerShare, round_: int) -> None:
        """Take back the place of a request that died while it waited."""
        share.waiting -= 1
        heappush(share.freed, round_)

    def served(self, share: CallerShare) -> None:
        """Take note that a request has been chosen: its place is used."""
        share.waiting -= 1

    def advance(self, round_: int) -> None:
        """Make ``round_`` the current round if it is later."""
        if round_ > self.current_round:
            self.current_round = round_

    def clear(self) -> None:
        """Forget everybody: nothing waits any more."""
        self._callers.clear()
        self.current_round = 0
        self._sweep_above = MAX_IDLE_CALLERS

    def _sweep(self) -> None:
        """Forget callers; O(callers), but amortised O(1) since it runs only when their number has doubled."""
        idle = sorted(share.round for share in self._callers.values() if not share.waiting)
        if len(idle) > MAX_IDLE_CALLERS // 2 and idle[len(idle) // 2] >= self.current_round:
            self.current_round = idle[len(idle) // 2] + 1
        current = self.current_round
        self._callers = {
            caller: share for caller, share in self._callers.items() if share.waiting or share.round >= current
        }
        self._sweep_above = max(MAX_IDLE_CALLERS, 2 * len(self._callers))
