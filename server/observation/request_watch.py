"""Follows one prediction request from receipt to its end, and tells an observer of it, once.

Owns what is known of a request while it runs, and the law that each ends in exactly one record: answered, refused or
cancelled, also where its task never took its first step. Knows no messages; why an exception refuses is told to it.
"""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import Self

from batching import PriorityClass
from server.call import Call
from server.inference.predictor import Answer
from server.models.served_model import ServedModel
from server.observation.observer import Observer
from server.observation.request_record import Outcome, RequestKind, RequestRecord
from server.refusal import Reason
from server.trace_context import TraceContext


class RequestWatch:
    """One request; a context that ends with it. Event loop only.

    What is learned of the request is assigned to the attributes as soon as it is known; see `RequestRecord`.

    Attributes:
        call: The RPC that it came in.
        received_at: Receipt, monotonic seconds.
        request_id: The caller's.
        symbol: The symbol asked for.
        priority: Its class.
        model: The version that is to answer.
        deadline: Monotonic seconds.
        parsed_at: When its message was read and valid.
        trace: Where its own span belongs; None where it is not traced.
    """

    __slots__ = (
        "_answer",
        "_is_answered",
        "_is_over",
        "_kind",
        "_left",
        "_watcher",
        "call",
        "deadline",
        "model",
        "parsed_at",
        "priority",
        "received_at",
        "request_id",
        "symbol",
        "trace",
    )

    def __init__(
        self,
        watcher: RequestWatcher,
        call: Call,
        kind: RequestKind,
        *,
        received_at: float,
        trace: TraceContext | None,
        left: set[RequestWatch] | None = None,
    ) -> None:
        self._watcher = watcher
        self._kind = kind
        self._left = left
        self._is_answered = False
        self._is_over = False
        self._answer: Answer | None = None
        self.call = call
        self.received_at = received_at
        self.request_id = ""
        self.symbol = ""
        self.priority: PriorityClass | None = None
        self.model: ServedModel | None = None
        self.deadline: float | None = None
        self.parsed_at: float | None = None
        self.trace = trace

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if error is None and self._is_answered:
            self._end(Outcome.ANSWERED, None)
        else:
            self.stop(error)

    @property
    def sampled_trace(self) -> TraceContext | None:
        """Where its spans are recorded; None where none are."""
        return self.trace if self.trace is not None and self.trace.is_sampled else None

    @property
    def trace_id(self) -> str:
        """Of the trace in which its spans are found, or else its RPC's; empty where there is none."""
        return self.call.trace_id if self.sampled_trace is None else self.sampled_trace.trace_id

    def parsed(self) -> None:
        """Notes that the message is read and valid."""
        self.parsed_at = self._watcher.now()

    def answered(self, answer: Answer | None) -> None:
        """Notes what the request is answered; the record follows when the reply is made and the context ends.

        Args:
            answer: None where an earlier request of the same id had its answer, which is given again.
        """
        self._is_answered = True
        self._answer = answer
        if answer is not None:
            self.model = answer.task.work.model

    def stop(self, error: BaseException | None) -> None:
        """Ends a request that is not answered. Nothing happens to one that has ended.

        Args:
            error: What ended it; where it is no `Exception`, its caller has given it up.
        """
        if isinstance(error, Exception):
            self._end(Outcome.REFUSED, self._watcher.reason_of(error))
            return
        deadline = self.deadline if self.deadline is not None else self.call.rpc_deadline
        if deadline is not None and self._watcher.now() >= deadline:
            # Given up because its time was over. Nobody is left to be told whether it had reached the engine.
            self._end(Outcome.REFUSED, Reason.EXPIRED_IN_QUEUE)
        else:
            self._end(Outcome.CANCELLED, None)

    def _end(self, outcome: Outcome, reason: Reason | None) -> None:
        if self._is_over:
            return
        self._is_over = True
        if self._left is not None:
            self._left.discard(self)
        answer = self._answer if outcome is Outcome.ANSWERED else None
        self._watcher.observer.request_ended(
            RequestRecord(
                call=self.call,
                kind=self._kind,
                outcome=outcome,
                received_at=self.received_at,
                ended_at=self._watcher.now(),
                request_id=self.request_id,
                symbol=self.symbol,
                priority=self.priority,
                model=self.model,
                reason=reason,
                parsed_at=self.parsed_at,
                deadline=self.deadline,
                answer=answer,
                batch=None if answer is None else answer.batch,
                is_replay=outcome is Outcome.ANSWERED and answer is None,
                trace=self.trace,
            )
        )


class RequestWatches:
    """The watches of one RPC with several requests; a context that ends with it, and all that are left with the same.

    A task that is cancelled before its first step runs nothing of its own: it cannot end its watch itself.
    """

    def __init__(self, watcher: RequestWatcher, call: Call, kind: RequestKind) -> None:
        self._watcher = watcher
        self._call = call
        self._kind = kind
        self._left: set[RequestWatch] = set()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close(error)

    def begin(self, *, received_at: float) -> RequestWatch:
        """Returns the watch of a request; in a trace that is recorded it has a span of its own.

        A stream's items have traces of their own, too: a stream lasts for hours, its trace would never be whole.
        """
        trace = self._call.trace
        if trace is not None and trace.is_sampled:
            trace = trace.child() if self._kind is RequestKind.BATCH_ITEM else trace.beside()
        watch = RequestWatch(
            self._watcher, self._call, self._kind, received_at=received_at, trace=trace, left=self._left
        )
        self._left.add(watch)
        return watch

    def close(self, error: BaseException | None = None) -> None:
        """Ends the requests that nothing else has ended; see `RequestWatch.stop`. Idempotent."""
        for watch in list(self._left):
            watch.stop(error)


class RequestWatcher:
    """Makes watches.

    Args:
        observer: Told of every request that ends.
        now: Monotonic seconds.
        reason_of: Tells why an exception refuses a request.

    Attributes:
        observer: Told of every request that ends.
        now: Monotonic seconds.
        reason_of: Tells why an exception refuses a request.
    """

    def __init__(
        self, observer: Observer, *, now: Callable[[], float], reason_of: Callable[[Exception], Reason]
    ) -> None:
        self.observer = observer
        self.now = now
        self.reason_of = reason_of

    def one(self, call: Call) -> RequestWatch:
        """Returns the watch of the only request of an RPC: its span is the RPC's."""
        return RequestWatch(self, call, RequestKind.UNARY, received_at=call.received_at, trace=call.trace)

    def several(self, call: Call, kind: RequestKind) -> RequestWatches:
        """Returns the watches of an RPC's requests."""
        return RequestWatches(self, call, kind)
