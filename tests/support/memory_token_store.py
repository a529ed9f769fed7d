"""The shared store of the rate limits in memory, on a clock that the test moves: for laws that need many examples."""

from collections.abc import Callable, Mapping

from server.security.token_store import Ask, Given, TokenStoreError


class MemoryTokenStore:
    """Does what the Redis's script does.

    Args:
        clock: Seconds.

    Attributes:
        fails: Whether it is gone.
        calls: How often it was asked.
        levels: Tokens left by bucket.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._at: dict[str, float] = {}
        self.levels: dict[str, float] = {}
        self.fails = False
        self.calls = 0

    async def settle(self, asks: Mapping[str, Ask]) -> Mapping[str, Given]:
        """Answers at once, or fails."""
        self.calls += 1
        if self.fails:
            raise TokenStoreError("gone")
        return {name: self.settle_one(name, ask) for name, ask in asks.items()}

    def settle_one(self, name: str, ask: Ask) -> Given:
        """Charges, gives and takes back for one bucket."""
        now, limit = self._clock(), ask.limit
        level = self.levels.get(name, limit.burst) + max(0.0, now - self._at.get(name, now)) * limit.rate
        level = min(limit.burst, level) - ask.debt
        given = ask.more if ask.more <= 0 else max(0, min(ask.more, int(level // 1)))
        self.levels[name] = left = min(limit.burst, level - given)
        self._at[name] = now
        return Given(tokens=ask.debt + max(0, given), left=left)

    async def close(self) -> None:
        """Does nothing."""
