"""Two replicas of the small network, whose number and settings change while they are called."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import signal
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.outlier.census import Census
from benchmarks.outlier.proxy_log import ProxyLog, proxy_log
from benchmarks.peers import catalogue
from benchmarks.peers.export import prepare
from benchmarks.peers.target import Server, TargetError, running
from tests.support.registry import make_registry

_MODEL = "cnn_lstm"
_PATIENCE = 120.0
# Named, not shared out by the number of replicas: otherwise another number would replace every replica.
_SETTINGS = """replica_cpus = {cpus}
engine_threads = 1
replicas = {replicas}
stream_max_age = {generation}
max_windows_per_request = {most}
"""
_OLDEST = 7200
_MOST = 64


@dataclasses.dataclass(slots=True, kw_only=True)
class Stage:
    """What runs.

    Attributes:
        server: The service.
        windows: What to ask it, float32 [n, features, steps].
        log: HAProxy's.
        census: Its replicas and HAProxy processes.
        settings: Its settings file.
        replicas: How many it has, or is to have.
    """

    server: Server
    windows: NDArray[np.float32]
    log: ProxyLog
    census: Census
    settings: Path
    replicas: int
    cpus: float
    generation: int = 0
    live: int = 0

    def scale(self, replicas: int) -> None:
        """Asks for another number of replicas; `settle` waits for it."""
        self.replicas = replicas
        self._configure()

    def renew(self) -> None:
        """Changes a setting that needs new replicas; `settle` does not wait for it, `await_renewed` does."""
        self.generation += 1
        self._configure()

    def change_live(self) -> None:
        """Changes a setting that running replicas take; nothing tells when they have."""
        self.live += 1
        self._configure()

    def pids(self) -> set[int]:
        """Returns the replicas' process ids."""
        return {pid for pid, role in self.census.present.items() if role == "replica"}

    def settle(self) -> None:
        """Waits until there are as many replicas as were asked for.

        Raises:
            TargetError: There are not, after two minutes.
        """
        self._await(lambda: self.census.count("replica") == self.replicas)

    def await_renewed(self, former: set[int]) -> None:
        """Waits until none of the former replicas is left, and there are as many as were asked for.

        Raises:
            TargetError: There are not, after two minutes.
        """
        self._await(lambda: not former & self.pids() and self.census.count("replica") == self.replicas)

    def _await(self, is_so: object) -> None:
        assert callable(is_so)
        deadline = time.monotonic() + _PATIENCE
        while not is_so():
            if time.monotonic() > deadline:
                raise TargetError(f"the replicas did not change as asked: {self.census.present}")
            time.sleep(0.2)

    def _configure(self) -> None:
        self.settings.write_text(_text(self.replicas, self.cpus, self.generation, self.live), encoding="utf-8")
        os.kill(self.server.pid, signal.SIGHUP)


def _text(replicas: int, cpus: float, generation: int = 0, live: int = 0) -> str:
    return _SETTINGS.format(cpus=cpus, replicas=replicas, generation=_OLDEST + generation, most=_MOST + live)


@contextlib.contextmanager
def stage(
    folder: Path,
    *,
    replicas: int = 2,
    cpus: float = 1,
    environment: Mapping[str, str] | None = None,
    source: Path = catalogue.ROOT,
) -> Iterator[Stage]:
    """Sets the stage in an empty folder, and clears it away.

    Args:
        folder: Exists, and is the caller's to remove.
        replicas: At first.
        cpus: Of each replica, as Ray counts them.
        environment: Further variables of the service.
        source: The checkout that it is served from.

    Raises:
        TargetError: The service did not start.
    """
    registry = make_registry(folder / "registry", versions=1)
    material = prepare(folder, registry=registry, name=_MODEL)
    settings = folder / "tickserve.toml"
    settings.write_text(_text(replicas, cpus), encoding="utf-8")
    with proxy_log() as log:
        target = catalogue.target(catalogue.SAME_ENGINE, material, threads=1, source=source)
        more = {
            "TICKSERVE_CONFIG": str(settings),
            "TICKSERVE_WINDOWS__ALLOW_SPLIT": "true",  # nobody ticks here
            "TICKSERVE_METRICS__DIRECTORY": str(folder / "metrics"),
            "TICKSERVE_MODELS__COMPILED_CACHE": str(folder / "compiled"),
            "RAY_SERVE_HAPROXY_LOG_TARGET": log.address,
            **(environment or {}),
        }
        paths = [more.pop("PYTHONPATH"), target.environment["PYTHONPATH"]] if "PYTHONPATH" in more else []
        if paths:
            more["PYTHONPATH"] = os.pathsep.join(paths)
        # The file says it: a variable would win over it at every change.
        former = {name: value for name, value in target.environment.items() if name != "TICKSERVE_ENGINE_THREADS"}
        target = dataclasses.replace(target, environment=former | more)
        with running(target) as server:
            census = Census(server.pid)
            with census.taken():
                yield Stage(
                    server=server,
                    windows=np.load(material.windows),
                    log=log,
                    census=census,
                    settings=settings,
                    replicas=replicas,
                    cpus=cpus,
                )
