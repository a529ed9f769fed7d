"""The loops that send ticks: closed, one in flight a symbol, and open, on a schedule that no answer can delay.

Latency counts from the instant at which a tick was due, so that a generator or a server that falls behind cannot hide
it. Every answer's sequence is checked against what was sent; see `Lane`.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any

from google.protobuf.duration_pb2 import Duration

from benchmarks.load.answers import fault_of
from benchmarks.load.sample import Sample
from benchmarks.load.summary import summarise
from benchmarks.streams import exactness
from benchmarks.streams.bars import BarSource
from benchmarks.streams.fleet import Fleet
from benchmarks.streams.lane import Answered, Lane
from benchmarks.streams.plan import StreamPlan
from tickserve.bench import outcome
from tickserve.bench.outcome import Ending, Outcome
from tickserve.bench.percentile import percentiles
from tickserve.errors import error_from_status
from tickserve.v1.prediction_pb2 import Execution
from tickserve.v1.prediction_service_pb2 import StreamTicksResponse
from tickserve.v1.tick_pb2 import TickError, TickPrediction

# A closed loop's symbol waits this long after an error.
_RETRY_DELAY = 0.05
# An answer that has not come this long after the last tick never will; it counts as unanswered.
_DRAIN = 10.0


class Driver:
    """One run of a plan.

    Args:
        plan: What to send.
    """

    def __init__(self, plan: StreamPlan) -> None:
        self._plan = plan
        self._source = BarSource.from_file(Path(plan.bars))
        self._fleet = Fleet(plan, self._source, on_response=self._take)
        self._samples: list[Sample] = []
        # Of each answer: when it came; milliseconds since its tick was due, by the server's clock since its receipt,
        # and since a newer one was due.
        self._ages: list[tuple[float, float, float, float]] = []
        self._lags: list[tuple[float, float]] = []
        # When an answer or an error came, and for how many ticks it stood.
        self._ended: list[tuple[float, int]] = []
        self._strays: Counter[str] = Counter()
        self._end_at = 0.0

    async def run(self, start: Callable[[], Awaitable[float]]) -> dict[str, Any]:
        """Opens, fills, awaits the start (monotonic seconds), sends, and returns the result document.

        Raises:
            benchmarks.streams.tick_call.StreamFailedError: A stream could not be opened or ended by itself.
        """
        plan = self._plan
        try:
            began = time.monotonic()
            await self._fleet.open()
            opened = time.monotonic()
            filled = await self._fleet.fill()
            document: dict[str, Any] = {
                "open_seconds": opened - began,
                "fill": {"symbols": filled, "bars": plan.history, "seconds": time.monotonic() - opened},
            }
            start_at = await start()
            if plan.duration:
                document |= await self._run_traffic(start_at)
            if plan.exact_sample:
                document["exactness"] = await exactness.check(
                    self._fleet.channels[0],
                    self._source,
                    {name: lane.next_sequence - 1 for name, lane in self._sampled_lanes()},
                    {name: lane.number for name, lane in self._sampled_lanes()},
                    bar_interval=self._fleet.bar_interval,
                )
            self._fleet.check()
        finally:
            await self._fleet.close()
        return document

    def _sampled_lanes(self) -> list[tuple[str, Lane]]:
        step = max(1, len(self._fleet.lanes) // self._plan.exact_sample)
        return list(self._fleet.lanes.items())[::step][: self._plan.exact_sample]

    async def _run_traffic(self, start_at: float) -> dict[str, Any]:
        plan = self._plan
        window_start = start_at + plan.warm_up
        self._end_at = window_start + plan.duration
        before = sum(lane.next_sequence for lane in self._fleet.lanes.values())
        usage = asyncio.create_task(_own_cpu(window_start, self._end_at))
        await asyncio.sleep(max(0.0, start_at - time.monotonic()))
        if plan.rate:
            await self._open_loop(start_at)
        else:
            for name, lane in self._fleet.lanes.items():
                self._send(name, lane, time.monotonic())
        await asyncio.sleep(max(0.0, self._end_at - time.monotonic()))
        await self._drain()
        return {
            "client_cpu_seconds": await usage,
            "traffic": summarise(self._samples, start=window_start, duration=plan.duration, is_open=plan.rate > 0),
            "ticks": sum(lane.next_sequence for lane in self._fleet.lanes.values()) - before,
            "conflated": sum(lane.conflated for lane in self._fleet.lanes.values()),
            "ages": self._summarise_ages(window_start),
            "ticks_per_second": sum(count for at, count in self._ended if window_start <= at < self._end_at)
            / plan.duration,
            "durable_lag_ms": percentiles([1e3 * lag for at, lag in self._lags if window_start <= at < self._end_at]),
            "strays": dict(self._strays),
        }

    async def _open_loop(self, start_at: float) -> None:
        lanes = list(self._fleet.lanes.items())
        count = 0
        while (due := start_at + count / self._plan.rate) < self._end_at:
            if (pause := due - time.monotonic()) > 0:
                await asyncio.sleep(pause)
            elif count % 64 == 0:
                await asyncio.sleep(0)  # late: whoever reads must still have a turn
            name, lane = lanes[count % len(lanes)]
            self._send(name, lane, due)
            count += 1

    async def _drain(self) -> None:
        """Waits until each tick has its answer, or too long; what has none then is told as unanswered."""
        plan = self._plan
        give_up = time.monotonic() + _DRAIN
        lanes = self._fleet.lanes.values()
        while any(lane.waiting or (plan.durable and lane.undurable) for lane in lanes):
            self._fleet.check()
            if time.monotonic() > give_up:
                break
            await asyncio.sleep(0.02)
        for lane in lanes:
            for due, sent in lane.unanswered():
                self._samples.append(Sample(due, sent, time.monotonic(), Outcome.UNANSWERED, "silence"))

    def _send(self, name: str, lane: Lane, due: float) -> None:
        self._fleet.send(name, partial(self._make, lane, due))

    def _make(self, lane: Lane, due: float) -> bytes:
        sequence = lane.send(due, time.monotonic())
        return self._source.tick(lane.number, sequence, valid_duration=self._plan.valid_duration)

    def _take(self, kind: str, response: StreamTicksResponse) -> None:
        now = time.monotonic()
        match kind:
            case "prediction":
                self._take_prediction(response.prediction, now)
            case "error" if response.error.symbol in self._fleet.lanes:
                self._take_error(response.error, now)
            case "durable":
                lags = self._fleet.lanes[response.durable.symbol].durable(response.durable.sequence, now)
                self._lags += [(now, lag) for lag in lags]
            case "heartbeat":
                pass
            case _:
                self._strays[kind] += 1

    def _take_prediction(self, answer: TickPrediction, now: float) -> None:
        lane = self._fleet.lanes[answer.symbol]
        answered = lane.answer(
            first_sequence=answer.first_sequence,
            sequence=answer.sequence,
            conflated_count=answer.conflated_count,
            now=now,
        )
        prediction = answer.prediction
        fault = answered.fault or fault_of(prediction, model=self._plan.model)
        if prediction.input.last_sequence != answer.sequence or prediction.input.symbol != answer.symbol:
            fault = fault or "origin"
        ending = Ending(Outcome.WRONG, fault) if fault else Ending(Outcome.IN_TIME)
        self._keep(answered, now, ending, prediction.execution)
        self._ended.append((now, 1 + answer.conflated_count))
        if not fault:
            total = 1e3 * _seconds(prediction.execution.total_duration)
            self._ages.append((now, 1e3 * (now - answered.due), total, 1e3 * answered.behind))
        self._go_on(answer.symbol, lane, now)

    def _take_error(self, error: TickError, now: float) -> None:
        lane = self._fleet.lanes[error.symbol]
        answered = lane.error(error.sequence, now)
        told = error_from_status(error.error)
        ending = outcome.of_error(code=told.code.name, reason=answered.fault or told.reason)
        self._keep(answered, now, ending, None)
        self._ended.append((now, 1))
        asyncio.get_running_loop().call_later(_RETRY_DELAY, self._go_on, error.symbol, lane, now + _RETRY_DELAY)

    def _keep(self, answered: Answered, now: float, ending: Ending, execution: Execution | None) -> None:
        size, inference, served = 0, 0.0, 0.0
        if execution is not None:
            size, inference = execution.batch_size, _seconds(execution.inference_duration)
            served = _seconds(execution.queue_duration) + inference
        due, sent = answered.due or now, answered.sent or now
        self._samples.append(Sample(due, sent, now, ending.outcome, ending.reason, size, inference, served))

    def _go_on(self, name: str, lane: Lane, now: float) -> None:
        if not self._plan.rate and now < self._end_at:
            self._send(name, lane, now)

    def _summarise_ages(self, start: float) -> dict[str, Any]:
        inside = [age for age in self._ages if start <= age[0] < self._end_at]
        return {
            "from_due_ms": percentiles([age[1] for age in inside]),
            "from_receipt_ms": percentiles([age[2] for age in inside]),
            "behind_ms": percentiles([age[3] for age in inside]),
            "newest_share": sum(age[3] == 0 for age in inside) / len(inside) if inside else None,
        }


def _seconds(duration: Duration) -> float:
    return duration.seconds + 1e-9 * duration.nanos


async def _own_cpu(start: float, end: float) -> float:
    await asyncio.sleep(max(0.0, start - time.monotonic()))
    before = time.process_time()
    await asyncio.sleep(max(0.0, end - time.monotonic()))
    return time.process_time() - before
