"""What every fault is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

from benchmarks.chaos.stage import Kind, Stage


class Fault(ABC):
    """One way to harm a service. An object is used for one row.

    Attributes:
        name: On the command line.
        title: In the table.
        goal: Seconds within which real-time goodput is to be back, counted from the injection; None: none is set.
        hold: Seconds between putting it in and taking it out.
        kind: The stage that it needs.
        kills_replica: Whether calls in flight may die with a replica.
        facts: What it saw itself, by name, for the report.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    goal: ClassVar[float | None] = None
    hold: float = 5.0
    kind: ClassVar[Kind] = Kind.PLAIN
    kills_replica: ClassVar[bool] = False

    def __init__(self) -> None:
        self.facts: dict[str, str] = {}

    @abstractmethod
    def inject(self, stage: Stage) -> None:
        """Puts it in; returns as soon as it is."""

    def heal(self, stage: Stage) -> None:  # noqa: B027 - most faults heal by themselves, which is what is looked at
        """Takes it out, where the service cannot do so by itself."""


class NoFault(Fault):
    """The control: what the callers see when nothing is done."""

    name = "none"
    title = "nothing (control)"

    def inject(self, stage: Stage) -> None:
        """Does nothing."""
