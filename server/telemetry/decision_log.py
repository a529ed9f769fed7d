"""The decision log of one replica: a record of every request that ends, and, where records are required, a gate.

Owns what is recorded and when a request must be refused because its record could not be. An observer like others.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from server.config.decision_settings import DecisionSettings
from server.inference.batch_run import BatchRun
from server.observation.request_record import RequestRecord
from server.observation.rpc_record import RpcRecord
from server.refusal import decision_log_unavailable
from server.telemetry.decision import decision_of
from server.telemetry.decision_files import DecisionFiles
from server.telemetry.decision_writer import DecisionWriter
from server.telemetry.wall_clock import WallClock


class DecisionLog:
    """Records how requests ended. Event loop only, but for what blocks.

    Args:
        writer: Writes the records.
        replica_id: Named in each.
        is_required: Whether no answer may be given that is not recorded.
    """

    def __init__(self, writer: DecisionWriter, *, replica_id: str, is_required: bool) -> None:
        self._writer = writer
        self._replica_id = replica_id
        self._is_required = is_required
        self._wall_clock = WallClock()
        self._in_flight = 0

    @property
    def written_count(self) -> int:
        """Records written."""
        return self._writer.written_count

    @property
    def dropped_count(self) -> int:
        """Records lost."""
        return self._writer.dropped_count

    @property
    def can_take(self) -> bool:
        """Whether one more answer would be recorded: the disk takes records, and there is room until it has."""
        writer = self._writer
        return not writer.is_failing and writer.waiting_count + self._in_flight < writer.queue_size

    def start(self) -> None:
        """Begins to write."""
        self._writer.start()

    @contextlib.contextmanager
    def gate(self) -> Iterator[None]:
        """Holds room for the record of a request while it is computed.

        Raises:
            Refusal: DECISION_LOG_UNAVAILABLE, on entering, where records are required and this one could not be kept.
        """
        if self._is_required and not self.can_take:
            raise decision_log_unavailable()
        self._in_flight += 1
        try:
            yield
        finally:
            self._in_flight -= 1

    def request_ended(self, record: RequestRecord) -> None:
        """Records it; see `Observer`."""
        if record.batch is not None and record.batch.is_probe:
            return
        must_keep = self._is_required and record.answer is not None
        # Looked at before anything is copied: in an overload, which is when records are dropped, it must cost nothing.
        writer = self._writer
        if not must_keep and writer.waiting_count >= writer.queue_size:
            writer.decline()
            return
        offset = self._wall_clock.offset() / 1e9
        decision = decision_of(record, replica_id=self._replica_id, wall_offset=offset)
        # Bounded all the same: the gate let in no more than there is room for.
        writer.offer(decision, must_keep=must_keep)

    def batch_ended(self, run: BatchRun) -> None:
        """Ignored; see `Observer`."""

    def rpc_ended(self, record: RpcRecord) -> None:
        """Ignored; see `Observer`."""

    def close(self) -> None:
        """Writes what waits, for at most five seconds. Blocks. Idempotent."""
        self._writer.close()


def decision_log(settings: DecisionSettings, *, replica_id: str) -> DecisionLog | None:
    """Returns the replica's decision log, not yet started; None where it is off."""
    if settings.mode == "off" or settings.path is None:
        return None
    files = DecisionFiles(
        settings.path.expanduser(),
        replica_id=replica_id,
        max_bytes=settings.max_bytes,
        files=settings.files,
        fsync=settings.fsync,
    )
    is_required = settings.mode == "required"
    writer = DecisionWriter(files, queue_size=settings.queue_size, is_patient=is_required)
    return DecisionLog(writer, replica_id=replica_id, is_required=is_required)
