"""The loops that send: open, on a schedule that no answer can delay, and closed, one request after another a caller.

Latency counts from the scheduled instant in both, so that a generator or a server that falls behind cannot hide it
(no coordinated omission). The generator's own lag is recorded beside it.
"""

from __future__ import annotations

import asyncio
import dataclasses
import itertools
import os
import random
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from google.protobuf.duration_pb2 import Duration

from benchmarks.load.answers import fault_of
from benchmarks.load.arrivals import schedule
from benchmarks.load.plan import Plan, Traffic
from benchmarks.load.protocol import InferenceProtocol, Reply, TickserveProtocol, WireProtocol
from benchmarks.load.requests import Factory, InferRequestFactory, RequestFactory
from benchmarks.load.sample import Sample
from benchmarks.load.summary import summarise
from benchmarks.load.transport import StreamTransport, Transport, UnaryTransport
from benchmarks.peers.answer import OUTPUTS
from tickserve.bench import outcome
from tickserve.bench.outcome import Ending, Outcome

# Hashing a window costs as much as parsing an answer; every so-manieth answer is compared.
_HASHED_EVERY = 16
# What a caller waits after an error that names no delay of its own.
_RETRY_DELAY = 0.05
# What is left to a request that is due after its own deadline: it must be sent, but cannot be answered in time.
_LEAST_TIMEOUT = 0.001
# Seconds a closed loop's last requests may take after the window; they are not counted.
_DRAIN = 2.0


class Generator:
    """One run of a plan.

    Args:
        plan: What to send.
    """

    def __init__(self, plan: Plan) -> None:
        windows = np.load(Path(plan.windows))
        self._plan = plan
        self._numbers = itertools.count(plan.first_window)
        self._senders = [_Sender(plan, traffic, windows, self._numbers) for traffic in plan.traffic]

    async def run(self, start_at: float) -> dict[str, Any]:
        """Sends from `start_at` (monotonic seconds) until the window's end, and returns the result document."""
        plan = self._plan
        window_start = start_at + plan.warm_up
        window_end = window_start + plan.duration
        usage = asyncio.create_task(_own_cpu(window_start, window_end))
        loops = [asyncio.create_task(sender.run(start_at, window_end)) for sender in self._senders]
        try:
            await asyncio.gather(*loops)
            cpu = await usage
        finally:
            for sender in self._senders:
                await sender.close()
        return {
            "target": plan.target,
            "window_start": window_start,
            "duration": plan.duration,
            "windows_used": next(self._numbers) - plan.first_window,
            "client_cpu_seconds": cpu,
            "niceness": os.getpriority(os.PRIO_PROCESS, 0),
            "traffic": {
                sender.traffic.name: summarise(
                    sender.samples, start=window_start, duration=plan.duration, is_open=sender.traffic.is_open
                )
                for sender in self._senders
            },
        }


class _Sender:
    """Sends one kind of traffic and keeps its samples."""

    def __init__(self, plan: Plan, traffic: Traffic, windows: Any, numbers: Iterator[int]) -> None:
        self.traffic = traffic
        self.samples: list[Sample] = []
        self._plan = plan
        self._numbers = numbers
        self._protocol, self._requests = _speaking(plan, traffic, windows)
        self._model = plan.model
        if traffic.version:
            self._model = dataclasses.replace(plan.model, version=traffic.version, sha256="")
        self._transport: Transport | None = None

    async def run(self, start_at: float, end_at: float) -> None:
        traffic = self.traffic
        # Opened here: gRPC binds a channel to the loop that runs when it is made.
        if traffic.streams:
            self._transport = StreamTransport(
                self._plan.target,
                protocol=self._protocol,
                name=traffic.name,
                connections=traffic.connections,
                streams=traffic.streams,
            )
        else:
            self._transport = UnaryTransport(
                self._plan.target, protocol=self._protocol, name=traffic.name, connections=traffic.connections
            )
        await asyncio.sleep(max(0.0, start_at - time.monotonic()))
        await (self._open_loop if traffic.is_open else self._closed_loop)(self._transport, start_at, end_at)

    async def close(self) -> None:
        if self._transport is not None:
            await self._transport.close()

    async def _open_loop(self, transport: Transport, start_at: float, end_at: float) -> None:
        loop = asyncio.get_running_loop()
        source = random.Random(self._plan.seed + 1)
        running: set[asyncio.Task[float]] = set()
        for lane, instant in enumerate(schedule(self.traffic, length=end_at - start_at, seed=self._plan.seed)):
            due = start_at + instant
            if (pause := due - time.monotonic()) > 0:
                await asyncio.sleep(pause)
            task = asyncio.create_task(self._send(transport, lane, due))
            running.add(task)
            task.add_done_callback(running.discard)
            if source.random() < self.traffic.cancel_share:
                loop.call_later(self.traffic.cancel_after, task.cancel)
        if running:
            await asyncio.wait(running)  # each ends by its own RPC timeout at the latest

    async def _closed_loop(self, transport: Transport, start_at: float, end_at: float) -> None:
        del start_at
        callers = [asyncio.create_task(self._call(transport, lane, end_at)) for lane in range(self.traffic.callers)]
        _, late = await asyncio.wait(callers, timeout=end_at + _DRAIN - time.monotonic())
        for caller in late:
            caller.cancel()
        for ended in await asyncio.gather(*callers, return_exceptions=True):
            if isinstance(ended, Exception):
                raise ended

    async def _call(self, transport: Transport, lane: int, end_at: float) -> None:
        source = random.Random(self._plan.seed * 1009 + lane)
        while (now := time.monotonic()) < end_at:
            request = asyncio.create_task(self._send(transport, lane, now))
            if source.random() < self.traffic.cancel_share:
                asyncio.get_running_loop().call_later(self.traffic.cancel_after, request.cancel)
            delay = 0.0
            try:
                delay = await request
            except asyncio.CancelledError:
                current = asyncio.current_task()
                if current is not None and current.cancelling():
                    raise  # this caller itself was cancelled, at the end of the run
            if pause := max(delay, self.traffic.think_time):
                await asyncio.sleep(pause)

    async def _send(self, transport: Transport, lane: int, due: float) -> float:
        """Sends one request and keeps its sample; returns the seconds that its caller should wait before another."""
        number = next(self._numbers)
        request_id = str(number)
        sent = time.monotonic()
        left = due + self.traffic.deadline - sent - self.traffic.reply_margin
        request = self._requests.make(number, request_id=request_id, timeout=max(left, _LEAST_TIMEOUT))
        try:
            reply = await transport.exchange(lane, request_id, request, self.traffic.rpc_timeout - (sent - due))
        except asyncio.CancelledError:
            self.samples.append(Sample(due, sent, time.monotonic(), Outcome.CANCELLED))
            raise
        ended = time.monotonic()
        ending = self._judge(reply, number=number, latency=ended - due)
        size, inference, served = 0, 0.0, 0.0
        if reply.prediction is not None:
            execution = reply.prediction.execution
            size, inference = execution.batch_size, _seconds(execution.inference_duration)
            if execution.HasField("queue_duration"):
                served = _seconds(execution.queue_duration) + inference
        self.samples.append(Sample(due, sent, ended, ending.outcome, ending.reason, size, inference, served))
        return 0.0 if reply.prediction is not None else reply.retry_delay or _RETRY_DELAY

    def _judge(self, reply: Reply, *, number: int, latency: float) -> Ending:
        if reply.prediction is None:
            return outcome.of_error(code=reply.code, reason=reply.reason)
        fault = "request id" if reply.request_id != str(number) else ""
        expected = self._requests.window_sha256(number) if number % _HASHED_EVERY == 0 else ""
        fault = fault or fault_of(reply.prediction, model=self._model, window_sha256=expected)
        return outcome.of_answer(latency=latency, deadline=self.traffic.deadline, fault=fault)


def _speaking(plan: Plan, traffic: Traffic, windows: Any) -> tuple[WireProtocol, Factory]:
    if plan.speech == "inference":
        factory = InferRequestFactory(windows, priority=traffic.priority, model=plan.model.name, outputs=OUTPUTS)
        return InferenceProtocol(plan.model), factory
    ours = RequestFactory(
        windows, priority=traffic.priority, feature_schema=plan.feature_schema, version=traffic.version
    )
    return TickserveProtocol(), ours


def _seconds(duration: Duration) -> float:
    return duration.seconds + 1e-9 * duration.nanos


async def _own_cpu(start: float, end: float) -> float:
    await asyncio.sleep(max(0.0, start - time.monotonic()))
    before = time.process_time()
    await asyncio.sleep(max(0.0, end - time.monotonic()))
    return time.process_time() - before
