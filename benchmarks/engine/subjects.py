"""What is measured: engines, batch sizes and thread counts. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from model.engine import EngineKind, Precision

SIZES = (1, 4, 8, 16, 32, 64)
THREADS = (1, 2)


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """One engine in one precision."""

    kind: EngineKind
    precision: Precision

    @property
    def name(self) -> str:
        """What reports and results call it."""
        return f"{self.kind} {self.precision}"


# What the others' speed is told in multiples of.
BASE = Subject(kind="eager", precision="fp32")
SHIPPED = Subject(kind="openvino", precision="bf16")
SUBJECTS = (
    BASE,
    Subject(kind="torchscript", precision="fp32"),
    Subject(kind="openvino", precision="fp32"),
    SHIPPED,
)
PRECISIONS: tuple[Precision, ...] = ("fp32", "bf16")


def cell(name: str, size: int, threads: int) -> str:
    """Returns the key under which results keep what was measured of one subject."""
    return f"{name}, {size}, {threads}"


def product(precision: Precision) -> str:
    """Returns the name of the bare matrix product in a precision, which is measured like an engine."""
    return f"product {precision}"
