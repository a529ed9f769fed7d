"""An observer that keeps what it hears, and watchers that tell it."""

import time
from collections.abc import Callable

from server.inference.batch_run import BatchRun
from server.observation.observer import Observer
from server.observation.request_record import RequestRecord
from server.observation.request_watch import RequestWatcher
from server.observation.rpc_record import RpcRecord
from server.rpc.errors import reason_of


class Recorder:
    """Keeps every record.

    Attributes:
        requests: Requests that ended, in that order.
        batches: Engine calls that ended.
        rpcs: RPCs that ended.
        kinds: All of them in the order in which they were told, by the class of the record.
    """

    def __init__(self) -> None:
        self.requests: list[RequestRecord] = []
        self.batches: list[BatchRun] = []
        self.rpcs: list[RpcRecord] = []
        self.kinds: list[type] = []

    def request_ended(self, record: RequestRecord) -> None:
        """Keeps it."""
        self.requests.append(record)
        self.kinds.append(RequestRecord)

    def batch_ended(self, run: BatchRun) -> None:
        """Keeps it."""
        self.batches.append(run)
        self.kinds.append(BatchRun)

    def rpc_ended(self, record: RpcRecord) -> None:
        """Keeps it."""
        self.rpcs.append(record)
        self.kinds.append(RpcRecord)


def watcher(observer: Observer | None = None, *, now: Callable[[], float] = time.monotonic) -> RequestWatcher:
    """Returns a watcher that tells an observer, or nobody that anybody looks at."""
    return RequestWatcher(observer or Recorder(), now=now, reason_of=reason_of)
