"""Stand-ins for tests of single parts: an engine that computes at once, a model that has it, a context that keeps."""

import asyncio
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from types import SimpleNamespace
from unittest import mock

import grpc
import numpy as np
from numpy.typing import NDArray

from model.engine import Engine, EngineInfo
from model.model_config import ModelConfig
from model.outputs import ModelOutputs
from model.registry import Registry
from server.models.served_model import ServedModel
from server.rpc.errors import StatusContext
from tests.support.registry import NAME, make_config

POISON = 12345.0
"""The engine's answer to a window that begins with this number is not finite."""


class FakeEngine:
    """Answers at once: probabilities that follow from each window's first value alone.

    Attributes:
        batches: What it was given.
        error: Raised by every call, if set.
        wait: Called by every call before it computes, in the engine's thread: lets a test hold it.
        seconds_per_window: What it tells of itself when it is warmed up.
        info: What an engine tells of itself.
    """

    def __init__(self) -> None:
        self.batches: list[NDArray[np.float32]] = []
        self.error: Exception | None = None
        self.wait: Callable[[], object] = lambda: None
        self.seconds_per_window = 0.001
        self.info = EngineInfo(name="fake", device="cpu", precision="fp32", threads=1, reason="a test")

    def run(self, windows: NDArray[np.float32]) -> ModelOutputs:
        """See `model.engine.Engine`."""
        self.batches.append(windows)
        self.wait()
        if self.error is not None:
            raise self.error
        count = len(windows)
        first = windows[:, 0, 0]
        buy = 0.2 + 0.1 * np.tanh(np.where(first == POISON, np.nan, first))
        shares = np.stack([0.5 - buy, np.full(count, 0.5, np.float32), buy], axis=1).astype(np.float32)
        pair = np.tile(np.array([0.25, 0.5], np.float32), (count, 1))
        return ModelOutputs(
            class_probabilities=shares,
            regression_mean=pair,
            regression_standard_deviation=pair,
            ensemble_class_probabilities=shares,
            ensemble_regression_mean=-pair,
            ensemble_regression_standard_deviation=pair,
            ensemble_weights=np.full((count, 5), 0.2, np.float32),
            features=np.zeros((count, 256), np.float32),
        )

    def warm_up(self, batch_sizes: tuple[int, ...]) -> Mapping[int, float]:
        """See `model.engine.Engine`; does not run at all."""
        return {size: size * self.seconds_per_window for size in batch_sizes}


def served_model(
    engine: FakeEngine | None = None, *, name: str = NAME, version: int = 1, config: ModelConfig | None = None
) -> ServedModel:
    """Returns a loaded version with a fake engine, for which values from -100 to 100 are usual."""
    return ServedModel(
        name=name,
        version=version,
        sha256=f"{version:064x}",
        config=config or make_config(),
        engine=engine or FakeEngine(),
        warm_up={1: 0.001, 2: 0.002},
        lower=np.full((50, 1), -100, np.float32),
        upper=np.full((50, 1), 100, np.float32),
    )


@dataclass
class FakeContext(StatusContext):
    """Remembers the status that an RPC was ended with."""

    code: grpc.StatusCode | None = None
    details: str = ""
    trailers: list[tuple[str, str | bytes]] = field(default_factory=list)

    def set_code(self, code: grpc.StatusCode) -> None:
        """Sets the code."""
        self.code = code

    def set_details(self, details: str) -> None:
        """Sets the message."""
        self.details = details

    def set_trailing_metadata(self, trailing_metadata: list[tuple[str, str | bytes]]) -> None:
        """Sets the trailers."""
        self.trailers = list(trailing_metadata)


async def settle(turns: int = 20) -> None:
    """Lets every task that can go on do so, without waiting for time to pass."""
    for _ in range(turns):
        await asyncio.sleep(0)


def use_engine(make: Callable[[], Engine]) -> AbstractContextManager[object]:
    """Lets every version that is loaded from now on compute with an engine of the test's; all else of it is real."""

    class Loader:
        """Stands for `model.model_loader.ModelLoader`."""

        def __init__(self, registry: Registry, _cache: object) -> None:
            self._registry = registry

        def load(
            self, name: str, version: int, _choice: object, *, warm_up_sizes: tuple[int, ...], beside_service: bool
        ) -> SimpleNamespace:
            """Reads the version and gives it an engine."""
            loaded, engine = self._registry.load(name, version), make()
            return SimpleNamespace(
                name=loaded.name,
                version=loaded.version,
                sha256=loaded.sha256,
                config=loaded.config,
                engine=engine,
                warm_up=engine.warm_up(warm_up_sizes),
                memory_bytes=1,
                load_seconds=0.0,
            )

    return mock.patch("server.models.version_source.ModelLoader", Loader)
