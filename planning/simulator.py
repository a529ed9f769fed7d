"""Owns virtual time: who acts next. Must not know policies' insides, figures or reports.

One engine slot. Events: open-loop arrivals, the end of the running batch, the policy's own timer, and the clients'
acts (closed-loop sends, cancellations, hang-ups). At one moment the engine comes first, then the policy's timer, then
clients, then arrivals, so that runs with equal seeds are equal.
"""

import math
from dataclasses import dataclass
from heapq import heapify, heappop, heappush

from planning.cost_table import CostTable
from planning.engine import SimulatedEngine
from planning.ledger import Ledger
from planning.policy import Policy
from planning.traffic import ClosedLoop, Traffic

#: A timer of the event loop that serves fires no finer than this, in seconds; also what keeps virtual time moving.
TIMER_GRAIN = 0.001

_SEND, _CANCEL, _HANG_UP = range(3)


@dataclass(slots=True)
class EngineUse:
    """What the engine did.

    Attributes:
        busy: Seconds it ran.
        wasted: Seconds of these spent on members whose answer nobody could use any more: each member bears an equal
            part of its batch.
        batches: Calls.
        members: Requests in them.
        longest: Seconds of the longest call.
        ended_at: When the last event happened.
    """

    busy: float = 0.0
    wasted: float = 0.0
    batches: int = 0
    members: int = 0
    longest: float = 0.0
    ended_at: float = 0.0


class Simulator:
    """Runs one policy on one traffic, once."""

    def __init__(
        self, *, traffic: Traffic, ledger: Ledger, policy: Policy, engine: SimulatedEngine, table: CostTable
    ) -> None:
        self._traffic = traffic
        self._ledger = ledger
        self._policy = policy
        self._engine = engine
        self._dispatch = table.dispatch_seconds
        self._transport = table.transport_seconds
        self._use = EngineUse()
        self._awaited: dict[int, tuple[ClosedLoop, int]] = {}  # closed-loop requests whose callers wait
        self._acts: list[tuple[float, int, int, object]] = []  # (moment, number, kind, about what)
        self._act_count = 0

    def run(self) -> EngineUse:
        """Run to the end: nothing more is sent and nothing waits."""
        ledger, policy, use, acts = self._ledger, self._policy, self._use, self._acts
        arrivals = ledger.arrival
        submit, choose, next_event = policy.submit, policy.choose, policy.next_event
        open_count, next_row = ledger.open_count, 0
        self._begin()
        busy_until = math.inf
        running: tuple[int, ...] = ()
        started = now = duration = 0.0
        timer = math.inf
        while True:
            arrival = arrivals[next_row] if next_row < open_count else math.inf
            act = acts[0][0] if acts else math.inf
            moment = min(busy_until, timer, act, arrival)
            if moment == math.inf:
                break
            now = moment
            if busy_until == now:
                policy.complete(now, duration)
                self._account(running, now, now - started)
                running, busy_until = (), math.inf
            elif timer == now:
                policy.advance(now)
            elif act == now:
                self._act(now)
            else:
                submit(next_row, now)
                next_row += 1
            if ledger.closed_ended:
                self._answer_callers(now)
            if not running:
                running = tuple(choose(now))
                if running:
                    started = now
                    duration = self._engine.duration(len(running), now)
                    busy_until = now + self._dispatch + duration
                    for row in running:
                        ledger.chosen_at[row] = now
                if ledger.closed_ended:
                    self._answer_callers(now)
            timer = next_event(now, idle=not running)
            if timer <= now:  # a timer never fires at once, or a standing moment could be asked for for ever
                timer = now + TIMER_GRAIN
        policy.close(now)
        use.ended_at = now
        return use

    def _begin(self) -> None:
        ledger = self._ledger
        for row, cancelled in enumerate(ledger.cancelled):
            if cancelled:
                self._acts.append((ledger.gone_at[row], row, _CANCEL, row))
        heapify(self._acts)
        self._act_count = ledger.open_count
        for loop in self._traffic.closed_loops:
            for caller in range(loop.callers):
                # Spread over the first millisecond: real callers do not start in step.
                self._schedule(0.001 * caller / loop.callers, _SEND, (loop, caller))

    def _schedule(self, moment: float, kind: int, about: object) -> None:
        self._act_count += 1
        heappush(self._acts, (moment, self._act_count, kind, about))

    def _act(self, now: float) -> None:
        _, _, kind, about = heappop(self._acts)
        if kind == _CANCEL:
            assert isinstance(about, int)
            self._policy.cancel(about, now)
        elif kind == _HANG_UP:
            assert isinstance(about, int)
            waiting = self._awaited.pop(about, None)
            if waiting is not None:
                self._policy.cancel(about, now)
                self._send_later(waiting, now)
        else:
            assert isinstance(about, tuple)
            self._send(about, now)

    def _send(self, sender: tuple[ClosedLoop, int], now: float) -> None:
        loop, caller = sender
        ledger = self._ledger
        row = ledger.add(loop.stream, caller, now)
        self._awaited[row] = sender
        if ledger.gone_at[row] != math.inf:
            self._schedule(ledger.gone_at[row], _HANG_UP, row)
        self._policy.submit(row, now)

    def _answer_callers(self, now: float) -> None:
        ended = self._ledger.closed_ended
        for row, retry_after in ended:
            sender = self._awaited.pop(row, None)
            if sender is not None:
                refused = math.isnan(self._ledger.chosen_at[row])
                self._send_later(sender, now, max(retry_after, sender[0].least_backoff) if refused else 0.0)
        ended.clear()

    def _send_later(self, sender: tuple[ClosedLoop, int], now: float, backoff: float = 0.0) -> None:
        moment = now + self._transport + sender[0].think + backoff
        if moment < self._traffic.duration:
            self._schedule(moment, _SEND, sender)

    def _account(self, running: tuple[int, ...], now: float, seconds: float) -> None:
        use, useful_until = self._use, self._ledger.useful_until
        useless = sum(1 for row in running if useful_until[row] < now)
        use.busy += seconds
        use.wasted += seconds * useless / len(running)
        use.batches += 1
        use.members += len(running)
        use.longest = max(use.longest, seconds)
