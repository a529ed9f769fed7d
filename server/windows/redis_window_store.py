"""The windows of all symbols in a Redis that replicas share, with working copies in the memory of whoever holds them.

Owns what is asked of the Redis and when: taking symbols over, reading those that other replicas hold, keeping quiet
ones alive. Writing is `window_flusher`'s, what the Redis does `window_scripts`'s. While the Redis is away, streams go
on in memory and nothing becomes durable.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
import time
from collections import Counter
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path

from model.model_config import ModelConfig
from server.config.window_settings import WindowSettings
from server.inference.predictor import InputOrigin
from server.refusal import store_unavailable
from server.time_slice import TimeSlice
from server.windows.held_windows import HeldWindow, HeldWindows, WindowListener
from server.windows.redis_windows import RedisWindows, TakenWindow, Words
from server.windows.store_word import StoreUnavailableError, StoreWord
from server.windows.stored_window import read_window
from server.windows.symbol_window import SymbolWindow
from server.windows.window_entry import WindowStateError
from server.windows.window_flusher import Change, FlushCounters, WindowFlusher
from server.windows.window_key import WindowKey, check_symbol, check_symbols, key_of
from server.windows.window_store import FloatArray, check_age, new_window, origin_of, restored_window, symbol_not_found

_TOUCH_INTERVAL = 30.0  # a quiet stream learns within this that another has taken its symbol over

logger = logging.getLogger("tickserve")


class RedisWindowStore:
    """A `WindowStore` for any number of replicas.

    Args:
        settings: Where the Redis is, how much of a window is kept, and how long the Redis may take.
        max_symbols: Most windows in this replica's memory: those held, and those of ended streams not stored yet.
        password_file: See `redis_client`.
        wall_clock: Seconds since the epoch; used for `max_age` only, because bars carry event time.
        clock: Monotonic seconds.
    """

    def __init__(
        self,
        settings: WindowSettings,
        *,
        max_symbols: int,
        password_file: Path | None = None,
        wall_clock: Callable[[], float] = time.time,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings = settings
        self._wall_clock = wall_clock
        self._clock = clock
        self._touch_interval = min(_TOUCH_INTERVAL, settings.time_to_live / 3)
        self._held = HeldWindows(max_symbols)
        self._taking: Counter[WindowKey] = Counter()  # takeovers on their way, by symbol
        self._redis = RedisWindows(settings, password_file=password_file)
        self._flusher = WindowFlusher(
            self._write, on_stored=self._stored, on_lost=self._lost, interval=settings.flush_interval, clock=clock
        )
        self._tasks: set[asyncio.Task[None]] = set()

    def __len__(self) -> int:
        return len(self._held)

    @property
    def max_symbols(self) -> int:
        """Most windows in this replica's memory; may be changed at any time."""
        return self._held.max_symbols

    @max_symbols.setter
    def max_symbols(self, limit: int) -> None:
        self._held.max_symbols = limit

    @property
    def counters(self) -> FlushCounters:
        """What has been written so far."""
        return self._flusher.counters

    @property
    def failure_count(self) -> int:
        """See `WindowStore.failure_count`."""
        return self._flusher.counters.failures

    async def start(self) -> None:
        """See `WindowStore.start`."""
        self._spawn(self._flusher.run())
        self._spawn(self._touch_quiet())

    async def close(self) -> None:
        """See `WindowStore.close`."""
        with contextlib.suppress(StoreUnavailableError):
            await self._flusher.flush()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._flusher.close()
        await self._redis.close()

    async def hold(
        self, symbols: Sequence[str], config: ModelConfig, *, owner: str = "", listener: WindowListener
    ) -> list[SymbolWindow]:
        """See `WindowStore.hold`."""
        await check_symbols(symbols, TimeSlice())
        keys = [key_of(symbol, config, owner) for symbol in symbols]
        self._held.check_room(keys)
        token = secrets.token_hex(8)
        self._taking.update(keys)
        try:
            taken = await self._take(keys, config, token)
            # Others may have been here meanwhile. From now on nothing waits: all or none.
            self._held.check_room(keys)
        except BaseException as error:
            self._spawn(self._give_back(keys, token))
            if isinstance(error, StoreUnavailableError):
                logger.warning("symbols cannot be opened: %s", error)
                raise store_unavailable() from None
            raise
        finally:
            self._taking -= Counter(keys)
        for forgotten in self._held.make_room(keys):
            self._flusher.forget(forgotten)
            logger.warning("a window made room before it was stored; its symbol goes on from what was durable")
        return [self._install(item, window, config, listener) for item, window in taken]

    def release(self, window: SymbolWindow) -> None:
        """See `WindowStore.release`."""
        held = self._held.of(window)
        if held is not None and self._held.release(held):
            self._flusher.changed(held)  # it is forgotten as soon as it is stored

    async def window(
        self, symbol: str, config: ModelConfig, *, owner: str = "", max_age: float | None
    ) -> tuple[FloatArray, InputOrigin]:
        """See `WindowStore.window`."""
        check_symbol(symbol)
        key = key_of(symbol, config, owner)
        held = self._held.get(key)
        if held is None:
            values, origin = await self._read(key, config)
        else:
            self._held.use(held)
            values, origin = held.window.window(), origin_of(held.window, config)
        check_age(origin.as_of_time, max_age, now=self._wall_clock())
        return values, origin

    def changed(self, window: SymbolWindow) -> None:
        """See `WindowStore.changed`."""
        held = self._held.of(window)
        if held is not None:
            self._flusher.changed(held)

    def durable_sequence(self, window: SymbolWindow) -> int | None:
        """See `WindowStore.durable_sequence`."""
        return window.durable_sequence

    async def flush(self) -> None:
        """See `WindowStore.flush`."""
        try:
            await self._flusher.flush()
        except StoreUnavailableError:
            raise store_unavailable() from None

    async def _take(
        self, keys: Sequence[WindowKey], config: ModelConfig, token: str
    ) -> list[tuple[TakenWindow, SymbolWindow | None]]:
        """Raises the epochs of all symbols and makes their windows ready; nobody sees them yet."""
        taken: list[tuple[TakenWindow, SymbolWindow | None]] = []
        time_slice = TimeSlice()
        async with contextlib.aclosing(self._redis.take_over(keys, token)) as items:
            async for item in items:
                if self._goes_on_here(item):
                    taken.append((item, None))
                else:
                    # The entries are not kept beside the window that they became: a long list of symbols has many.
                    taken.append((item._replace(entries=()), self._restore(item, config)))
                await time_slice.give_way()
        return taken

    def _goes_on_here(self, item: TakenWindow) -> bool:
        """Tells whether this replica's own copy is the newest: then nobody else has held the symbol since."""
        held = self._held.get(item.key)
        return held is not None and item.before <= held.window.epoch

    def _restore(self, item: TakenWindow, config: ModelConfig) -> SymbolWindow:
        try:
            return restored_window(item.key.symbol, config, self._settings, item.head, item.entries)
        except WindowStateError as error:
            # Said here, once; the client is told by `opened` that nothing is there, and sends what it has.
            logger.error("a stored window cannot be restored, its symbol starts anew: %s", error)
            return new_window(item.key.symbol, config, self._settings)

    def _install(
        self, item: TakenWindow, window: SymbolWindow | None, config: ModelConfig, listener: WindowListener
    ) -> SymbolWindow:
        """Makes a stream the holder of a symbol in this replica's memory."""
        held = self._held.get(item.key)
        if held is not None and held.window.epoch > item.epoch:
            # Another stream of this replica asked later and was answered sooner: this one has lost the symbol already.
            window = window or new_window(item.key.symbol, config, self._settings)
            window.epoch = item.epoch
            asyncio.get_running_loop().call_soon(listener.lost, window)
            return window
        if held is not None and not self._goes_on_here(item):
            self._drop(held)
            held = None
        if held is None:
            held = self._held.add(item.key, window or self._restore(item, config))
        held.tell_lost()
        held.window.epoch = item.epoch
        held.checked_at = self._clock()
        held.take_over(listener)
        return held.window

    async def _give_back(self, keys: Sequence[WindowKey], token: str) -> None:
        try:
            await self._redis.give_back(keys, token)
        except StoreUnavailableError as error:
            logger.warning("symbols of a failed open may be lost to their streams: %s", error)

    async def _read(self, key: WindowKey, config: ModelConfig) -> tuple[FloatArray, InputOrigin]:
        """Reads a window that this replica does not hold; nothing is computed."""
        try:
            found = await self._redis.read(key)
        except StoreUnavailableError as error:
            logger.warning("a window cannot be read: %s", error)
            raise store_unavailable() from None
        if found is None:
            raise symbol_not_found(key.symbol)
        head, entries = found
        if not head:
            new_window(key.symbol, config, self._settings).window()  # refuses, with what is missing
        try:
            stored = read_window(config, head, entries)
        except WindowStateError as error:
            logger.error("a stored window cannot be read: %s", error)
            raise symbol_not_found(key.symbol) from None
        origin = InputOrigin(
            feature_schema=config.feature_schema,
            symbol=key.symbol,
            last_sequence=stored.last_sequence,
            as_of_time=stored.as_of_time,
        )
        return stored.values, origin

    async def _write(self, changes: Sequence[Change]) -> Words:
        return await self._redis.write([(held.key, change) for held, change in changes])

    def _stored(self, held: HeldWindow) -> None:
        held.checked_at = self._clock()
        if not held.holders and not self._taking[held.key]:
            self._drop(held)

    def _lost(self, held: HeldWindow) -> bool:
        if self._taking[held.key]:
            return False  # to a stream of this replica, as it seems; soon one of the two will know
        self._drop(held)
        return True

    def _drop(self, held: HeldWindow) -> None:
        self._flusher.forget(held)
        self._held.forget(held)
        held.tell_lost()

    async def _touch_quiet(self) -> None:
        """Keeps windows alive that nobody writes to, and notices when they were taken over or forgotten."""
        while True:
            await asyncio.sleep(self._touch_interval / 4)
            # A failure is told by the writes; the next round is soon enough.
            with contextlib.suppress(StoreUnavailableError):
                await self._touch_once()

    async def _touch_once(self) -> None:
        due = self._clock() - self._touch_interval
        quiet = [(held, held.window.epoch) for held in self._held if held.checked_at < due]
        words = await self._redis.touch([(held.key, epoch, held.window.stored_revision) for held, epoch in quiet])
        for (held, epoch), word in zip(quiet, words, strict=True):
            if self._held.get(held.key) is not held or isinstance(word, StoreUnavailableError):
                continue
            if word is not StoreWord.LOST:
                held.checked_at = self._clock()
            if word is StoreWord.MISMATCH:
                self.counters.reseeds += 1
                held.window.store_lost_track()
                self._flusher.changed(held)
            if word is StoreWord.LOST and epoch == held.window.epoch and self._lost(held):
                self.counters.lost += 1

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
