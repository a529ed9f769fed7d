"""Copies of bodies on their way, while there is room for them: all that are under way share one bound."""

from __future__ import annotations

from collections.abc import AsyncIterator


class CopyRoom:
    """How many bytes of copies there may be at once.

    Args:
        most: Bytes.
    """

    def __init__(self, most: int) -> None:
        self._left = most

    def take(self, count: int) -> bool:
        """Takes room for some bytes and returns True, or leaves it and returns False."""
        if count > self._left:
            return False
        self._left -= count
        return True

    def give_back(self, count: int) -> None:
        """Gives taken room back."""
        self._left += count


class Tee:
    """Chunks on their way, and a copy of them while they are few; a context, after which the copy's room is free.

    Args:
        room: Shared by all copies.
        most: Bytes of this one.
        source: The chunks; None: they are given to `keep`.

    Attributes:
        kept: All chunks together; None once they were too many.
    """

    def __init__(self, room: CopyRoom, most: int, source: AsyncIterator[bytes] | None = None) -> None:
        self._room = room
        self._most = most
        self._source = source
        self.kept: bytearray | None = bytearray()

    def __enter__(self) -> Tee:
        return self

    def __exit__(self, *_: object) -> None:
        self._forget()

    def keep(self, chunk: bytes) -> None:
        """Adds a chunk."""
        if self.kept is None:
            return
        if len(self.kept) + len(chunk) > self._most or not self._room.take(len(chunk)):
            self._forget()
        else:
            self.kept += chunk

    async def chunks(self) -> AsyncIterator[bytes]:
        """Yields the source's chunks and keeps them."""
        if self._source is not None:
            async for chunk in self._source:
                self.keep(chunk)
                yield chunk

    def _forget(self) -> None:
        if self.kept is not None:
            self._room.give_back(len(self.kept))
            self.kept = None
