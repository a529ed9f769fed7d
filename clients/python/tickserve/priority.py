"""How urgent a request is, as Python users write it."""

from __future__ import annotations

import enum

from tickserve.v1 import priority_pb2

__all__ = ("Priority", "PriorityLike")


class Priority(enum.IntEnum):
    """How urgent a request is; the numbers are the contract's. More urgent requests are served first."""

    UNSPECIFIED = 0
    """The service's default, which is `STANDARD`."""
    REAL_TIME = 1
    """An order waits for this answer."""
    STANDARD = 2
    """Interactive or per-bar work."""
    BACKGROUND = 3
    """Work that may wait: back-tests, re-scoring."""
    SHADOW = 4
    """Copies of requests with which the service tries out a version of a model. Only statistics name it: no request can
    be sent in this class."""

    @classmethod
    def parse(cls, value: PriorityLike) -> Priority:
        """Reads a priority or its name in any case, as in `"real_time"` or `"real-time"`; None is `UNSPECIFIED`.

        Raises:
            ValueError: There is no such priority, or none that a request can have.
        """
        if value is None:
            return cls.UNSPECIFIED
        name = value.strip().upper().replace("-", "_") if isinstance(value, str) else cls(value).name
        if name not in _SENDABLE:
            known = ", ".join(other.lower() for other in _SENDABLE[1:])
            raise ValueError(f"no priority {value!r} to send; there are: {known}")
        return cls[name]

    @classmethod
    def from_proto(cls, value: int) -> Priority:
        """Reads the contract's enum; a number from a newer service is `UNSPECIFIED`."""
        return cls(value) if value in _KNOWN else cls.UNSPECIFIED

    def to_proto(self) -> priority_pb2.Priority.ValueType:
        """Gives the contract's enum."""
        return priority_pb2.Priority.ValueType(self.value)


PriorityLike = Priority | str | None

_KNOWN = frozenset(map(int, Priority))
_SENDABLE = tuple(member.name for member in Priority if member is not Priority.SHADOW)
