"""The service whose replicas come and go: autoscaled by settings, its engine slowed so that more carry more."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.load.processes import roles
from benchmarks.outlier.census import Census
from benchmarks.peers import catalogue
from benchmarks.peers.export import prepare
from benchmarks.peers.target import Server, TargetError, running
from server.process_tree import descendants
from tests.support.registry import FULL, make_registry

_FAULTS = Path(__file__).resolve().parent.parent / "drill" / "faults"
_MODEL = "cnn_lstm"
# Seconds that each engine call takes longer: two cores hold three engines that wait, not three that compute.
ENGINE_DELAY = 0.04
MAX_BATCH = 2
SETTINGS = {
    "min_replicas": 1,
    "max_replicas": 3,
    "target_ongoing_requests": 1.0,
    "upscale_delay_s": 3.0,
    "downscale_delay_s": 10.0,
    # One at a time: two that start at once would take both cores from the one that serves.
    "upscaling_factor": 0.5,
    "downscaling_factor": 0.5,
    "metrics_interval_s": 1.0,
    "look_back_period_s": 5.0,
}
REPLICA_CPUS = 0.5


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """What runs.

    Attributes:
        server: The service.
        windows: What to ask it, float32 [n, features, steps].
        census: Its replicas and HAProxy processes.
    """

    server: Server
    windows: NDArray[np.float32]
    census: Census

    def controller_log(self) -> Path:
        """Returns the file in which Ray Serve's controller says what it decides.

        Raises:
            TargetError: There is no controller.
        """
        for pid in descendants(self.server.pid):
            with contextlib.suppress(OSError):
                if b"ServeController" in Path(f"/proc/{pid}/cmdline").read_bytes():
                    for link in Path(f"/proc/{pid}/fd").iterdir():
                        path = Path(os.readlink(link))
                        if path.name.startswith("controller_") and path.suffix == ".log":
                            return path
        raise TargetError(f"no controller with a log among {roles(self.server.pid)}")


@contextlib.contextmanager
def stage(folder: Path, *, source: Path = catalogue.ROOT) -> Iterator[Stage]:
    """Sets the stage in an empty folder, and clears it away.

    Raises:
        TargetError: The service did not start.
    """
    registry = make_registry(folder / "registry", versions=1, network=FULL)
    material = prepare(folder, registry=registry, name=_MODEL)
    control = folder / "control.json"
    control.write_text(json.dumps({"engine_delay": ENGINE_DELAY}), encoding="utf-8")
    values = {f"TICKSERVE_AUTOSCALING__{name.upper()}": str(value) for name, value in SETTINGS.items()}
    target = catalogue.target(catalogue.AS_SHIPPED, material, threads=1, source=source)
    environment = {
        **target.environment,
        **values,
        "TICKSERVE_AUTOSCALING__ENABLED": "true",
        "TICKSERVE_REPLICA_CPUS": str(REPLICA_CPUS),
        "TICKSERVE_SCHEDULER__MAX_BATCH_SIZE": str(MAX_BATCH),
        "TICKSERVE_WINDOWS__ALLOW_SPLIT": "true",  # nobody ticks here
        "TICKSERVE_METRICS__DIRECTORY": str(folder / "metrics"),
        "TICKSERVE_MODELS__COMPILED_CACHE": str(folder / "compiled"),
        "PYTHONPATH": os.pathsep.join([str(_FAULTS), target.environment["PYTHONPATH"]]),
        "DRILL_CONTROL": str(control),
    }
    with running(dataclasses.replace(target, environment=environment)) as server:
        census = Census(server.pid)
        with census.taken():
            yield Stage(server=server, windows=np.load(material.windows), census=census)
