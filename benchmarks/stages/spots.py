"""Where each stage of a call is in the server: the functions that are timed, and the engine thread's own story."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable, Iterator
from typing import Any
from unittest import mock

from batching.engine_slot import EngineSlot
from batching.scheduler import Scheduler
from benchmarks.stages import mount
from benchmarks.stages.stopwatch import Spot, Stopwatch
from server.inference.batch_runner import BatchRunner
from server.models.served_model import ServedModel
from server.results.known_results import KnownResults
from server.routes.routed_predictor import RoutedPredictor
from server.rpc import ingress, prediction_service

# In the order in which a call meets them; what each is made of is told in `report`.
LOOP_STAGES = (
    "seam",
    "parse",
    "validate",
    "find model",
    "hash",
    "result cache",
    "admit and submit",
    "choose",
    "hand over",
    "complete",
    "range check",
    "encode",
    "serialise",
)
ENGINE_STAGES = ("gather", "inference", "scatter")
# Wall time in which a call waits for another thread, or for its turn; it costs nobody processor time.
WAITS = ("queue", "engine wakes", "loop wakes")

_SPOTS = (
    Spot("seam", ingress, "call_from"),
    Spot("parse", prediction_service, "parse"),
    Spot("validate", prediction_service, "read_request_id"),
    Spot("validate", prediction_service, "read_priority"),
    Spot("validate", prediction_service, "read_span"),
    Spot("validate", prediction_service, "read_window"),
    Spot("validate", prediction_service, "read_time"),
    Spot("find model", RoutedPredictor, "resolve"),
    Spot("hash", hashlib, "sha256"),
    Spot("result cache", KnownResults, "find"),
    Spot("result cache", KnownResults, "keep"),
    Spot("admit and submit", Scheduler, "submit"),
    Spot("choose", Scheduler, "choose"),
    Spot("complete", Scheduler, "take_ended"),
    Spot("range check", ServedModel, "is_out_of_distribution"),
    Spot("serialise", mount, "serialise"),
)


@contextlib.contextmanager
def timed(watch: Stopwatch, engine: type[Any]) -> Iterator[None]:
    """Times every stage while the context is entered.

    Args:
        watch: Sums up.
        engine: Class of the engine that computes; its `run` is the inference.
    """
    with contextlib.ExitStack() as stack:
        stack.enter_context(watch.running(_SPOTS))
        for owner, name, wrap in (
            (EngineSlot, "run", _handing_over),
            (Scheduler, "complete", _completing),
            (prediction_service, "write_prediction", _encoding),
            (BatchRunner, "__call__", _running),
            (engine, "run", _computing),
        ):
            stack.enter_context(mock.patch.object(owner, name, wrap(watch, getattr(owner, name))))
        yield


Function = Callable[..., Any]


def _handing_over(watch: Stopwatch, function: Function) -> Function:
    inner = watch.timed("hand over", function)

    def run(*args: Any) -> None:
        # Before, not after: the engine's thread may run before this one goes on.
        watch.mark("handed over")
        inner(*args)

    return run


def _completing(watch: Stopwatch, function: Function) -> Function:
    inner = watch.timed("complete", function)

    def complete(*args: Any, **kwargs: Any) -> None:
        watch.since("computed", stage="loop wakes")
        inner(*args, **kwargs)

    return complete


def _encoding(watch: Stopwatch, function: Function) -> Function:
    inner = watch.timed("encode", function)

    def encode(answer: Any, options: Any) -> Any:
        watch.add("queue", wall=answer.completion.queue_duration)
        return inner(answer, options)

    return encode


def _running(watch: Stopwatch, function: Function) -> Function:
    """The engine thread's part: what comes before the engine's call is gathering, what comes after it scattering."""

    def run(runner: BatchRunner, batch_key: str, batch: Any) -> Any:
        watch.since("handed over", stage="engine wakes")
        watch.begin("gather")
        results = function(runner, batch_key, batch)
        watch.finish("scatter")
        watch.mark("computed")
        return results

    return run


def _computing(watch: Stopwatch, function: Function) -> Function:
    inner = watch.timed("inference", function)

    def run(*args: Any) -> Any:
        watch.finish("gather")
        outputs = inner(*args)
        watch.begin("scatter")
        return outputs

    return run
