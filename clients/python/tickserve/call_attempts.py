"""What one unary call sends, and when it is sent again or twice: decisions alone, for code with and without asyncio.

It must not know stubs, futures or how to wait: `attempts` and `async_attempts` do what it says.
"""

from __future__ import annotations

from typing import Any, Generic, TypeVar

from tickserve.errors import TickserveError
from tickserve.request import Call, is_real_time
from tickserve.retry import Retries

__all__ = ("CallAttempts",)

M = TypeVar("M", bound=Any)


class CallAttempts(Generic[M]):
    """The attempts of one call.

    Args:
        call: What is sent; further attempts have what is left of its time.
        retries: The client's.
    """

    def __init__(self, call: Call[M], retries: Retries) -> None:
        self._call = call
        self._retries = retries
        self._attempts = retries.begin(call.timeout)
        self.current = call
        """What the next attempt sends."""
        self.hedge_delay = retries.hedge.delay if retries.hedge and is_real_time(call.message) else None
        """Seconds without an answer after which a second copy is asked for; None: never."""

    def delay_after(self, error: TickserveError) -> float | None:
        """Gives the seconds to wait before `renew` and the next attempt; None: the error stands."""
        return self._attempts.next_delay(error)

    def renew(self) -> None:
        """Makes the next attempt's request, to be sent now."""
        self.current = self._left()

    def second_copy(self) -> Call[M] | None:
        """Gives a copy to be sent now beside the one that has no answer yet; None: the budget does not allow it."""
        return self._left() if self._retries.spend_hedge() else None

    def second_copy_won(self) -> None:
        """Notes that the second copy was answered first."""
        self._retries.note_hedge_win()

    def _left(self) -> Call[M]:
        return self._call.after(self._attempts.elapsed)
