"""The API keys in force: those of the file as it was when it could last be read, looked at again every second.

Owns the reading anew, which is done in a thread, and the comparison of secrets. What a key opens is decided elsewhere.
"""

from __future__ import annotations

import dataclasses
import hmac
import logging
import threading
from pathlib import Path

from server.security.api_key import ApiKey, Keys, digest_of, split_token
from server.security.key_file import KeyFileError, read_keys

logger = logging.getLogger("tickserve")

POLL_INTERVAL = 1.0
# What an unknown id is compared with: it takes as long as a known one.
_NOBODY = bytes(32)

Fingerprint = tuple[int, int, int]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class KeyRingState:
    """How the keys stand.

    Attributes:
        key_count: Keys in force, expired ones among them.
        is_stale: Whether the file has changed and could not be read, so that the former keys are still in force.
    """

    key_count: int = 0
    is_stale: bool = False


class KeyRing:
    """The keys of one file.

    Args:
        path: The file.
        interval: Seconds between two looks.
    """

    def __init__(self, path: Path, *, interval: float = POLL_INTERVAL) -> None:
        self._path = path
        self._interval = interval
        # Replaced as a whole, never changed: it is read on the event loop while a thread loads the next one.
        self._keys: Keys = {}
        self._fingerprint: Fingerprint | None = None
        self._error = ""
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def state(self) -> KeyRingState:
        """How the keys stand."""
        return KeyRingState(key_count=len(self._keys), is_stale=bool(self._error))

    def load(self) -> None:
        """Reads the file. Blocks.

        Raises:
            KeyFileError: It cannot be used; the keys in force stay.
        """
        # Before it is read: what changes meanwhile is seen at the next look.
        fingerprint = _fingerprint(self._path)
        self._keys = read_keys(self._path)
        self._fingerprint = fingerprint
        self._error = ""

    def look(self) -> None:
        """Reads the file if it has changed; one that cannot be used is told once and changes nothing. Blocks."""
        if not self._error and _fingerprint(self._path) == self._fingerprint:
            return
        try:
            self.load()
        except KeyFileError as error:
            if str(error) != self._error:
                self._error = str(error)
                logger.error("API keys: the former %d stay in force: %s", len(self._keys), error)
        else:
            logger.info("API keys: %d are in force", len(self._keys))

    def start(self) -> None:
        """Begins to look every second, in a thread of its own."""
        self._thread = threading.Thread(target=self._run, name="api-keys", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Ends the looking. Blocks shortly. Idempotent."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join()

    def find(self, token: str) -> ApiKey | None:
        """Returns the key that a caller has shown; None where there is no such key.

        Takes the same time for an id that exists and one that does not.
        """
        key_id, secret = split_token(token)
        key = self._keys.get(key_id)
        is_it = hmac.compare_digest(digest_of(secret), _NOBODY if key is None else key.sha256)
        return key if is_it else None

    def named(self, key_id: str) -> ApiKey | None:
        """Returns the key of an id, for a caller whom something else has proved to be its owner."""
        return self._keys.get(key_id)

    def _run(self) -> None:
        while not self._stopping.wait(self._interval):
            try:
                self.look()
            except Exception:
                logger.exception("the file of API keys was not looked at")


def _fingerprint(path: Path) -> Fingerprint:
    """Returns what changes whenever the file is replaced or written.

    Links are followed: Kubernetes swaps the folder behind one when a secret changes.
    """
    try:
        state = path.stat()
    except OSError:
        return (0, 0, 0)
    return (state.st_ino, state.st_mtime_ns, state.st_size)
