"""Errors about market data and its features: what is wrong, where, and what to do about it.

DataError
├── InvalidBarError        a bar breaks a rule of `model.bar.Bar`; has the field's name
├── InvalidTradeError      a trade breaks a rule, or is for a bar that has closed; has the field's name
├── BarFileError           a bar file cannot be read; has the path and, if known, the line
├── NotEnoughBarsError     a sequence is too short for what is asked of it
├── LifelessBarsError      prices move too little to tell sell, hold and buy apart
├── SettingError           a training setting is out of range; has the setting's name
├── FeatureStateError      a stored feature state is damaged or belongs to another schema
└── AggregatorStateError   a stored state of bars in the making is damaged

Every message names the remedy, so that a command can show it as it is.
"""

from model.errors import ModelError


class DataError(ModelError, ValueError):
    """Any error in bars, bar files or stored feature states."""


class InvalidBarError(DataError):
    """A bar breaks a rule of `Bar`, or follows its predecessor out of order.

    Attributes:
        field: Name of the offending field of `Bar`, e.g. `high`.
    """

    def __init__(self, field: str, problem: str, remedy: str) -> None:
        super().__init__(f"{field} {problem}; {remedy}")
        self.field = field


class InvalidTradeError(DataError):
    """A trade breaks a rule of `model.bar_aggregator`, or comes after its bar has closed.

    Attributes:
        field: Name of the offending field: `price`, `size` or `event_time`.
        remedy: What the sender is to do.
    """

    def __init__(self, field: str, problem: str, remedy: str) -> None:
        super().__init__(f"{field} {problem}; {remedy}")
        self.field = field
        self.remedy = remedy


class BarFileError(DataError):
    """A file of bars cannot be read.

    Attributes:
        path: The file as it was named by the caller.
        line: Line number from 1, the header being line 1; None if no one line is at fault.
    """

    def __init__(self, path: str, line: int | None, problem: str) -> None:
        where = path if line is None else f"{path}, line {line}"
        super().__init__(f"{where}: {problem}")
        self.path = path
        self.line = line


class NotEnoughBarsError(DataError):
    """A sequence of bars is too short.

    Attributes:
        have: Bars given.
        need: Bars needed at least.
    """

    def __init__(self, have: int, need: int, purpose: str) -> None:
        super().__init__(f"{purpose} needs at least {need} bars, got {have}; give a longer history")
        self.have = have
        self.need = need


class LifelessBarsError(DataError):
    """The forward returns of the training bars are nearly all alike, so they form no three classes."""


class SettingError(DataError):
    """A training setting is out of range.

    Attributes:
        field: Name of the setting.
    """

    def __init__(self, field: str, problem: str, remedy: str) -> None:
        super().__init__(f"{field} {problem}; {remedy}")
        self.field = field


class FeatureStateError(DataError):
    """A stored feature state cannot be restored; rebuild it from the symbol's last bars."""


class AggregatorStateError(DataError):
    """A stored state of bars in the making cannot be restored; go on without the trades that it held."""
