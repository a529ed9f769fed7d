"""Errors of the model package. Callers catch `ModelError` or one leaf; nothing here knows of RPC codes.

ModelError
+-- ConfigError          a field of config.json (or of a config object) is wrong; names the field
+-- ModelNotFoundError   no such name or version; lists what there is
+-- ModelNameError       a name that may not be written to a registry
+-- ModelLoadError       a version is there but is refused; names the file, the reason and the remedy
+-- EngineError          an engine cannot be built as asked for
+-- QualityGateError     an engine's answers are not those of its network; names the version, the worst and the remedy
+-- WindowError          an engine was given an array of the wrong shape, type or layout
+-- OutputError          an engine answered with non-finite or unnormalised numbers; names the rows
"""

from collections.abc import Mapping, Sequence
from pathlib import Path


class ModelError(Exception):
    """Root of every error this package raises on purpose."""


class ConfigError(ModelError):
    """A configuration field is missing, unknown, of the wrong type or out of range."""

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(f"{field}: {reason}")
        self.field = field
        self.reason = reason


class ModelNotFoundError(ModelError):
    """No model of this name, or no such version of it.

    Attributes:
        name: The name asked for, as it was given.
        version: The version asked for; None stands for the latest.
        available: Every model in the registry with its complete versions, ascending.
    """

    def __init__(self, name: str, version: int | None, available: Mapping[str, Sequence[int]]) -> None:
        wanted = f"{name!r}" if version is None else f"{name!r} version {version}"
        known = "; ".join(f"{known} ({', '.join(map(str, versions))})" for known, versions in sorted(available.items()))
        super().__init__(f"no model {wanted}; available: {known or 'none'}")
        self.name = name
        self.version = version
        self.available = {known: tuple(versions) for known, versions in available.items()}


class ModelNameError(ModelError):
    """A model's name is not of the form the registry stores."""

    def __init__(self, name: str, pattern: str) -> None:
        super().__init__(f"model name {name!r} does not match {pattern}")
        self.name = name


class ModelLoadError(ModelError):
    """A stored version is refused.

    Attributes:
        path: The file or folder at fault.
        reason: What is wrong with it.
        remedy: What to do about it; empty if the reason says it all.
    """

    def __init__(self, path: Path, reason: str, remedy: str = "") -> None:
        super().__init__(f"{path}: {reason}" + (f"; {remedy}" if remedy else ""))
        self.path = path
        self.reason = reason
        self.remedy = remedy


class EngineError(ModelError):
    """An engine cannot be built with this kind, precision or thread count here."""


class QualityGateError(ModelError):
    """A version is refused on this engine: its answers to real windows are wrong, or there are none to hold it to.

    Attributes:
        folder: The version's.
        engine: Which engine in which precision; empty if the version fails on any.
        finding: What was found, with the worst difference and what was allowed.
        remedy: What to do about it.
    """

    def __init__(self, folder: Path, engine: str, finding: str, remedy: str) -> None:
        super().__init__(f"{folder}: quality gate{f' of {engine}' if engine else ''}: {finding}; {remedy}")
        self.folder = folder
        self.engine = engine
        self.finding = finding
        self.remedy = remedy


class WindowError(ModelError):
    """An array handed to an engine is not C-contiguous float32 of shape [n >= 1, features, steps]."""


class OutputError(ModelError):
    """An engine's answer has rows that are not finite or not normalised.

    Attributes:
        rows: Indices of those rows in the batch, ascending.
    """

    def __init__(self, rows: Sequence[int]) -> None:
        super().__init__(f"non-finite or unnormalised outputs in rows {list(rows)}")
        self.rows = tuple(rows)
