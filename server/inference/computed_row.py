"""What one engine call gave for one window: the scheduler's result type."""

from __future__ import annotations

import dataclasses

from model.outputs import OutputRow
from server.inference.batch_run import BatchRun


@dataclasses.dataclass(frozen=True, slots=True)
class ComputedRow:
    """One row of a batch.

    Attributes:
        row: The answer; None where it was not finite or not normalised.
        batch: The call that gave it.
    """

    row: OutputRow | None
    batch: BatchRun
