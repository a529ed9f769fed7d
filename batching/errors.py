"""Owns the scheduler's exceptions. Must not know status codes, wire messages or any other term of a transport.

::

    SchedulerError                    every refusal or failure a request can end with
    ├── RefusedError                  overload; worth trying again                     (retry_after, s)
    │   ├── QueueFullError            refused at arrival: a limit is reached
    │   ├── PredictedDeadlineMissError  refused at arrival: it, or one admitted before, would be late
    │   └── DisplacedError            made room in a full queue for one of a higher class
    ├── ExpiredInQueueError           its deadline passed before a slot was free       (waited, s)
    ├── ExpiredInExecutionError       its deadline passed while the engine ran it      (waited, s)
    ├── InferenceFailedError          the engine, or the scheduler itself, failed      (reason: for logs only)
    │   └── EngineHungError           the engine did not answer in time                (timeout, s)
    ├── RequestCancelledError         its own caller gave it up; nobody awaits this one
    ├── NoTurnError                   no request: it found no idle moment              (waited, s)
    └── SchedulerClosedError          the scheduler is not started, closing or closed

Every constructor argument is plain data kept in ``args``, so that errors copy and pickle as they are.
"""

import copy


class SchedulerError(Exception):
    """Root of all that a request can end with instead of a result."""


class RefusedError(SchedulerError):
    """Not served for lack of capacity; worth trying again after ``retry_after`` seconds."""

    def __init__(self, retry_after: float) -> None:
        super().__init__(retry_after)
        self.retry_after = retry_after

    def __str__(self) -> str:
        return f"no capacity, retry after {self.retry_after:.3f} s"


class QueueFullError(RefusedError):
    """Refused at arrival because a queue limit is reached."""

    def __str__(self) -> str:
        return f"queue full, retry after {self.retry_after:.3f} s"


class PredictedDeadlineMissError(RefusedError):
    """Refused at arrival because of a deadline that would be missed: its own, or one already promised to another.

    ``predicted_completion`` is when it would have ended, in seconds after its arrival.
    """

    def __init__(self, predicted_completion: float, retry_after: float) -> None:
        super().__init__(retry_after)
        self.args = (predicted_completion, retry_after)
        self.predicted_completion = predicted_completion

    def __str__(self) -> str:
        return (
            f"would take {self.predicted_completion:.3f} s, which its deadline or one already admitted does not allow; "
            f"retry after {self.retry_after:.3f} s"
        )


class DisplacedError(RefusedError):
    """Gave its place in a full queue to a request of a higher class."""

    def __str__(self) -> str:
        return f"displaced by a higher class, retry after {self.retry_after:.3f} s"


class ExpiredInQueueError(SchedulerError):
    """The deadline passed in the queue, ``waited`` seconds after arrival; the engine never saw the request."""

    def __init__(self, waited: float = 0.0) -> None:
        super().__init__(waited)
        self.waited = waited

    def __str__(self) -> str:
        return f"deadline passed after {self.waited:.3f} s in the queue"


class ExpiredInExecutionError(SchedulerError):
    """The deadline passed in the engine, ``waited`` seconds after arrival; the result is thrown away."""

    def __init__(self, waited: float = 0.0) -> None:
        super().__init__(waited)
        self.waited = waited

    def __str__(self) -> str:
        return f"deadline passed during execution, {self.waited:.3f} s after arrival"


class InferenceFailedError(SchedulerError):
    """The batch of this request failed; ``reason`` is internal text for logs, ``__cause__`` the engine's exception."""

    def __init__(self, reason: str = "inference failed") -> None:
        super().__init__(reason)
        self.reason = reason


class EngineHungError(InferenceFailedError):
    """The engine did not answer within ``timeout`` seconds and is presumed lost."""

    def __init__(self, timeout: float) -> None:
        super().__init__(f"the engine did not answer within {timeout:g} s")
        self.args = (timeout,)
        self.timeout = timeout

    def __str__(self) -> str:
        return self.reason


class RequestCancelledError(SchedulerError):
    """The request was given up by its own caller."""


class NoTurnError(SchedulerError):
    """What is no request waits for an idle moment, and for ``waited`` seconds there was none."""

    def __init__(self, waited: float = 0.0) -> None:
        super().__init__(waited)
        self.waited = waited

    def __str__(self) -> str:
        return f"nothing was idle for {self.waited:.3f} s"


class SchedulerClosedError(SchedulerError):
    """The scheduler does not take, or no longer serves, this request because it is not running."""


def member_failure(error: BaseException) -> InferenceFailedError:
    """Return a fresh failure for one member of a batch that ``error`` ended.

    Members must not share one exception object: each raise adds to its traceback.
    """
    if isinstance(error, InferenceFailedError):
        own = copy.copy(error)
        own.__cause__ = error.__cause__
    else:
        own = InferenceFailedError(f"{type(error).__name__}: {error}")
        own.__cause__ = error
    return own
