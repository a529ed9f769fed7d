"""planning/budgets.toml with new figures: text in, text out. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

_COMMAND = "python -m benchmarks.capacity"


def updated(text: str, values: Mapping[str, float], *, costs: Mapping[str, Any] | None, date: str, machine: str) -> str:
    """Returns the file's text with the measured figures in place of the former ones; all else stays.

    Args:
        text: Of the file.
        values: Figures by name.
        costs: The cost table of the engine `openvino`, as `CostTable.as_dict` has it; None: it stays.
        date: Of the run.
        machine: Of the run.

    Raises:
        ValueError: A figure is not in the file.
    """
    for name, value in values.items():
        head = f"[figures.{name}]"
        before, found, rest = text.partition(head + "\n")
        if not found:
            raise ValueError(f"{head} is not in the file")
        section, gap, after = rest.partition("\n\n")
        text = before + found + _figure(section, value, date=date, machine=machine) + gap + after
    return text if costs is None else _engine(text, costs, date=date, machine=machine)


def _figure(section: str, value: float, *, date: str, machine: str) -> str:
    lines = [line for line in section.splitlines() if not re.match(r"(value|method|date|machine|note) = ", line)]
    unit = next(index for index, line in enumerate(lines) if line.startswith("unit = "))
    lines[unit:unit] = [f"value = {value:.4g}"]
    lines += [f'method = "{_COMMAND}"', f'date = "{date}"', f'machine = "{machine}"']
    return "\n".join(lines)


def _engine(text: str, costs: Mapping[str, Any], *, date: str, machine: str) -> str:
    start = text.index("[engines.openvino]\n")
    end = text.find("\n[engines.", text.index("[engines.openvino.seconds_by_batch_size]\n"))
    lines = [
        "[engines.openvino]",
        f'source = "{costs["source"]}"',
        "cpus = 2",
        "gpus = 0",
        f'method = "{_COMMAND}"',
        f'date = "{date}"',
        f'machine = "{machine}"',
        *(
            f"{key} = {costs[key]:.4g}"
            for key in (
                "jitter",
                "stall_probability",
                "stall_seconds",
                "dispatch_seconds",
                "transport_seconds",
                "transport_jitter",
            )
        ),
        "",
        "[engines.openvino.seconds_by_batch_size]",
        *(f"{size} = {seconds:.4g}" for size, seconds in costs["seconds_by_batch_size"].items()),
        "",
    ]
    return text[:start] + "\n".join(lines) + (text[end:] if end >= 0 else "")
