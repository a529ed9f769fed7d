"""Client of tickserve, the gRPC inference service for market-prediction models.

    >>> import numpy as np
    >>> import tickserve
    >>> window = np.zeros((50, 60), dtype=np.float32)  # [features, steps], oldest bar first
    >>> with tickserve.Client("127.0.0.1:9000") as client:
    ...     try:
    ...         prediction = client.predict(window, priority="real_time", timeout=0.050)
    ...     except tickserve.OverloadedError as refusal:
    ...         print("not in time:", refusal.reason, "again in", refusal.retry_delay, "s")
    >>> prediction.label in prediction.classes, sorted(prediction.regressions)
    (True, ['return', 'volatility'])

`AsyncClient` is the same for asyncio. Spans are float seconds, instants are timezone-aware datetimes, windows are
`[features, steps]`, errors are one tree below `TickserveError` (see `tickserve.errors`).

Layout: `client` and `async_client` hold a channel each; `attempts` and `async_attempts` make their calls, as often as
`call_attempts` and `retry` say; `request` builds what they send, `result`, `prediction`, `events`, `catalog`, `halts`,
`routes` and `caches` read what comes back, `errors` what went wrong; `session` is a tick session without I/O, driven by
`tick_stream` and `async_tick_stream` over one `tick_connection` after another: `tick_buffer` keeps what may have to be
sent again, `answer_filter` what was heard already, `reconnect` when to come back. `example` makes windows to try it
with; `v1` holds the generated stubs, `cli` the command line, `bench` what measures a service.
"""

from tickserve.async_client import AsyncClient
from tickserve.async_tick_stream import AsyncTickStream
from tickserve.caches import CacheStatistics, SharedCacheStatistics
from tickserve.catalog import BatchCost, ClassStatistics, Engine, Model, ModelCost, ModelState, ReplicaStatistics
from tickserve.client import Client
from tickserve.errors import (
    AccessDeniedError,
    AuthenticationError,
    DeadlineError,
    FieldViolation,
    InferenceError,
    InvalidRequestError,
    NotFoundError,
    OverloadedError,
    PreconditionError,
    RequestIdReusedError,
    StreamClosedError,
    TickserveError,
    TransportError,
    UnavailableError,
)
from tickserve.events import (
    Drain,
    Durable,
    Gap,
    HaltNotice,
    Opened,
    Progress,
    SymbolState,
    TickEvent,
    TickFailure,
    TickPrediction,
)
from tickserve.example import example_window
from tickserve.halts import ActiveHalt, HaltList, HaltTarget
from tickserve.market import Bar, BarCorrection, FeatureRow, MarketEvent, Trade, WindowReset
from tickserve.prediction import Ensemble, Execution, InputEvidence, ModelVersion, Prediction, Regression
from tickserve.priority import Priority
from tickserve.reconnect import ConnectionChange, Disconnected, Reconnected, ResumePolicy
from tickserve.replica_health import DeepCheck, DeepState, ReadinessBlocker, ReplicaHealth
from tickserve.request import BatchItem, CallOptions, StreamItem
from tickserve.result import Result
from tickserve.retry import HedgePolicy, RetryPolicy, RetryStatistics
from tickserve.routes import (
    ArmFigures,
    ArmRole,
    ArmState,
    ArmStatistics,
    RollbackCause,
    RollbackVerdict,
    RouteStatistics,
)
from tickserve.tick_statistics import TickStatistics
from tickserve.tick_stream import TickStream
from tickserve.tls import TlsOptions
from tickserve.window import Window

__all__ = (
    "AccessDeniedError",
    "ActiveHalt",
    "ArmFigures",
    "ArmRole",
    "ArmState",
    "ArmStatistics",
    "AsyncClient",
    "AsyncTickStream",
    "AuthenticationError",
    "Bar",
    "BarCorrection",
    "BatchCost",
    "BatchItem",
    "CacheStatistics",
    "CallOptions",
    "ClassStatistics",
    "Client",
    "ConnectionChange",
    "DeadlineError",
    "DeepCheck",
    "DeepState",
    "Disconnected",
    "Drain",
    "Durable",
    "Engine",
    "Ensemble",
    "Execution",
    "FeatureRow",
    "FieldViolation",
    "Gap",
    "HaltList",
    "HaltNotice",
    "HaltTarget",
    "HedgePolicy",
    "InferenceError",
    "InputEvidence",
    "InvalidRequestError",
    "MarketEvent",
    "Model",
    "ModelCost",
    "ModelState",
    "ModelVersion",
    "NotFoundError",
    "Opened",
    "OverloadedError",
    "PreconditionError",
    "Prediction",
    "Priority",
    "Progress",
    "ReadinessBlocker",
    "Reconnected",
    "Regression",
    "ReplicaHealth",
    "ReplicaStatistics",
    "RequestIdReusedError",
    "Result",
    "ResumePolicy",
    "RetryPolicy",
    "RetryStatistics",
    "RollbackCause",
    "RollbackVerdict",
    "RouteStatistics",
    "SharedCacheStatistics",
    "StreamClosedError",
    "StreamItem",
    "SymbolState",
    "TickEvent",
    "TickFailure",
    "TickPrediction",
    "TickStatistics",
    "TickStream",
    "TickserveError",
    "TlsOptions",
    "Trade",
    "TransportError",
    "UnavailableError",
    "Window",
    "WindowReset",
    "example_window",
)
