"""Which versions there are: asks the registry in a thread of its own, and says what stands in the way, once.

Apart from the thread that loads: who asks for a version must not wait until another one is loaded. Knows no engines.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Hashable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from model.errors import ModelError, ModelNotFoundError
from server.models.loaded_versions import Key
from server.models.version_source import VersionSource
from server.refusal import Reason, Refusal

logger = logging.getLogger("tickserve")

T = TypeVar("T")


class VersionCatalog:
    """Looks at the registry beside the event loop.

    Args:
        source: Where versions come from.
    """

    def __init__(self, source: VersionSource) -> None:
        self._source = source
        # By model: what stood in the way of its versions when they were last looked for.
        self._told: dict[str, str] = {}
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="model-resolver")

    async def resolve(self, name: str, version: int | None) -> int:
        """Returns a version that exists; None stands for the latest.

        Raises:
            Refusal: MODEL_NOT_FOUND.
        """
        try:
            return await self._run(lambda: self._source.resolve(name, version))
        except ModelNotFoundError as error:
            known = ", ".join(f"{known_name} {list(versions)}" for known_name, versions in error.available.items())
            raise Refusal(
                Reason.MODEL_NOT_FOUND,
                f"The registry has no such model version; it has: {known[:512] or 'nothing'}.",
                field="model",
                metadata={"name": name[:128], "version": str(version or "latest")},
            ) from None
        except ModelError as error:
            logger.warning("model %s version %s refused: %s", name, version or "latest", error)
            raise unusable(name, version) from None

    async def versions(self, name: str) -> tuple[int, ...]:
        """Returns a model's versions, at least one, newest first; a bad `latest/` folder hides no others.

        Raises:
            ModelError: There are none to be seen.
        """
        return await self._run(lambda: self._versions(name))

    async def identities(self, keys: Iterable[Key]) -> Mapping[Key, Hashable]:
        """Returns what changes when a version's files do; see `VersionSource.identity`."""
        known = list(keys)  # here: the loop may change what it is made of
        return await self._run(lambda: {key: self._source.identity(key) for key in known})

    def close(self) -> None:
        """Stops looking."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    def _versions(self, name: str) -> tuple[int, ...]:
        try:
            latest = self._source.resolve(name, None)
        except ModelError as error:
            if self._told.get(name) != str(error):
                self._told[name] = str(error)
                logger.warning("the latest version of model %s cannot be told: %s", name, error)
            if isinstance(error, ModelNotFoundError) or not (versions := self._source.versions(name)):
                raise
            return versions[::-1]
        self._told.pop(name, None)
        return (latest, *(version for version in reversed(self._source.versions(name)) if version < latest))

    async def _run(self, look: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, look)


def unusable(name: str, version: int | None) -> Refusal:
    """Returns how a version is refused that is there and cannot be loaded; what is wrong with it is no caller's."""
    return Refusal(
        Reason.MODEL_NOT_FOUND,
        "This model version exists but could not be loaded; the server's log names the file and the remedy.",
        field="model",
        metadata={"name": name[:128], "version": str(version or "latest")},
    )
