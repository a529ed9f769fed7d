"""Laws of the model pool: what is loaded answers, what is not is loaded once, and the default is never lost."""

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import pytest

from model.errors import ModelLoadError, ModelNotFoundError
from model.network import HybridNetwork
from model.registry import LoadedModel, Registry
from server.live_settings import LiveSettings
from server.model_pool import Key, ModelPool
from server.refusal import Reason, Refusal
from server.served_model import ServedModel
from server.settings import Settings
from tests.support.fakes import FakeEngine
from tests.support.registry import make_config, real_windows

SECRET = "/srv/secret/model.pth"


class FakeRegistry(Registry):
    """A registry in memory.

    Attributes:
        known: Versions by name, ascending.
        damaged: Versions whose loading fails.
        loads: What was loaded, in order.
        gate: Loading waits for it.
    """

    def __init__(self, known: Mapping[str, Sequence[int]]) -> None:
        super().__init__("/nowhere")
        self.known = {name: list(versions) for name, versions in known.items()}
        self.damaged: set[Key] = set()
        self.loads: list[Key] = []
        self.gate = threading.Event()
        self.gate.set()
        self._network = HybridNetwork(make_config().network)

    def resolve(self, name: str, version: int | Literal["latest"] | None = None) -> int:
        """See `Registry`."""
        versions = self.known.get(name, [])
        if isinstance(version, int) and version not in versions:
            raise ModelNotFoundError(name, version, self.known)
        if not versions:
            raise ModelNotFoundError(name, None, self.known)
        return version if isinstance(version, int) else versions[-1]

    def load(self, name: str, version: int | Literal["latest"] | None = None) -> LoadedModel:
        """See `Registry`."""
        number = self.resolve(name, version)
        self.loads.append((name, number))
        self.gate.wait(30)
        if (name, number) in self.damaged:
            raise ModelLoadError(Path(SECRET), "damaged")
        return LoadedModel(
            name=name, version=number, sha256=f"{number:064x}", config=make_config(), network=self._network
        )


@pytest.fixture(scope="module", autouse=True)
def _data() -> None:
    """Reads the bar file before any test."""
    real_windows()


@pytest.fixture
def settings() -> Settings:
    """Two versions may be loaded."""
    return Settings(max_loaded_models=2, engine_threads=1)


@pytest.fixture
def registry() -> FakeRegistry:
    """Two models, of which `other` has three versions."""
    return FakeRegistry({"cnn_lstm": [1, 2], "other": [1, 2, 3]})


@pytest.fixture
def told() -> list[ServedModel]:
    """The versions that the pool has told of, in order."""
    return []


@pytest.fixture
async def pool(
    registry: FakeRegistry, settings: Settings, told: list[ServedModel], monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[ModelPool]:
    """A pool whose default model answers."""
    monkeypatch.setattr("server.model_pool.create_engine", lambda *_, **__: FakeEngine())
    pool = ModelPool(registry, LiveSettings(settings), on_loaded=told.append)
    await pool.start()
    yield pool
    registry.gate.set()
    pool.close()


async def refusal_of(pool: ModelPool, name: str, version: int) -> Refusal:
    """Returns how a reference is refused."""
    with pytest.raises(Refusal) as caught:
        await pool.get(name, version)
    return caught.value


async def load(pool: ModelPool, name: str, version: int) -> None:
    """Asks for a version and waits until its loading has ended, well or badly."""
    assert (await refusal_of(pool, name, version)).reason is Reason.MODEL_LOADING
    await loading_ended(pool)


async def loading_ended(pool: ModelPool) -> None:
    """Waits until nothing is being loaded."""
    if pool._loading:
        await asyncio.wait(pool._loading.values(), timeout=30)
    assert not pool._loading


@pytest.mark.parametrize(("name", "version"), [("", 0), ("", 2), ("cnn_lstm", 0), ("cnn_lstm", 2)])
async def test_the_default_is_the_latest_version(pool: ModelPool, name: str, version: int) -> None:
    """It answers to no name, to its own, and to its version, without a look at the disk."""
    served = await pool.get(name, version)
    assert (served.name, served.version) == ("cnn_lstm", 2)
    assert pool.is_default(("cnn_lstm", 2))


async def test_before_the_default_is_loaded_nothing_answers(registry: FakeRegistry, settings: Settings) -> None:
    """MODEL_LOADING, with a delay, whatever is asked for."""
    pool = ModelPool(registry, LiveSettings(settings), on_loaded=lambda _: None)
    for name, version in (("", 0), ("other", 1), ("nobody", 0)):
        refusal = await refusal_of(pool, name, version)
        assert refusal.reason is Reason.MODEL_LOADING
        assert refusal.retry_delay
    pool.close()


async def test_another_version_is_loaded_on_demand(pool: ModelPool, registry: FakeRegistry) -> None:
    """First MODEL_LOADING, once loaded it is served; asking twice meanwhile loads once."""
    registry.gate.clear()
    for _ in range(3):
        assert (await refusal_of(pool, "other", 3)).reason is Reason.MODEL_LOADING
    assert pool.state(("other", 3)) == "loading"
    registry.gate.set()
    await loading_ended(pool)
    assert (await pool.get("other", 3)).version == 3
    assert pool.state(("other", 3)) == "serving"
    assert registry.loads == [("cnn_lstm", 2), ("other", 3)]


async def test_the_latest_version_is_the_registrys(pool: ModelPool, registry: FakeRegistry) -> None:
    """A loaded older version does not pass for the latest."""
    await load(pool, "other", 1)
    assert (await refusal_of(pool, "other", 0)).reason is Reason.MODEL_LOADING
    await loading_ended(pool)
    assert (await pool.get("other", 0)).version == 3


@pytest.mark.parametrize(("name", "version"), [("nobody", 0), ("cnn_lstm", 9), ("other", -1), ("../x", 1)])
async def test_an_unknown_reference_is_told_what_exists(pool: ModelPool, name: str, version: int) -> None:
    """MODEL_NOT_FOUND names every model with its versions."""
    refusal = await refusal_of(pool, name, version)
    assert refusal.reason is Reason.MODEL_NOT_FOUND
    assert "cnn_lstm [1, 2]" in refusal.message
    assert "other [1, 2, 3]" in refusal.message
    assert refusal.metadata == {"name": name, "version": str(version or "latest")}


async def test_a_long_list_is_cut(pool: ModelPool, registry: FakeRegistry) -> None:
    """A refusal fits in a trailer however many models there are."""
    registry.known |= {f"model-{number}": [1] for number in range(1000)}
    assert len((await refusal_of(pool, "n" * 1000, 1)).message) < 1000


async def test_who_asks_does_not_wait_for_what_loads(pool: ModelPool, registry: FakeRegistry) -> None:
    """While one version loads, another reference is answered at once."""
    registry.gate.clear()
    await refusal_of(pool, "other", 1)
    refusal = await asyncio.wait_for(refusal_of(pool, "nobody", 0), 10)
    assert refusal.reason is Reason.MODEL_NOT_FOUND
    assert pool.state(("other", 1)) == "loading"


async def test_a_failed_load_is_remembered(
    pool: ModelPool, registry: FakeRegistry, caplog: pytest.LogCaptureFixture
) -> None:
    """It is tried once, refused from then on without the file's name, and the log has that."""
    registry.damaged.add(("other", 1))
    await load(pool, "other", 1)
    refusals = [await refusal_of(pool, "other", 1) for _ in range(3)]
    assert {refusal.reason for refusal in refusals} == {Reason.MODEL_NOT_FOUND}
    assert all("secret" not in f"{refusal} {refusal.metadata}" for refusal in refusals)
    assert SECRET in caplog.text
    assert registry.loads.count(("other", 1)) == 1
    assert pool.state(("other", 1)) == "failed"


async def test_a_failed_load_is_tried_again_later(
    pool: ModelPool, registry: FakeRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A version whose files were mended answers without a restart."""
    registry.damaged.add(("other", 1))
    await load(pool, "other", 1)
    registry.damaged.clear()
    now = time.monotonic()
    monkeypatch.setattr(pool, "_clock", lambda: now + 31)
    await load(pool, "other", 1)
    assert (await pool.get("other", 1)).version == 1


async def test_no_refusal_is_raised_twice(pool: ModelPool, registry: FakeRegistry) -> None:
    """Each caller gets one of its own: one that is raised again grows by a traceback each time."""
    registry.damaged.add(("other", 1))
    await load(pool, "other", 1)
    assert await refusal_of(pool, "other", 1) is not await refusal_of(pool, "other", 1)


async def test_the_least_recently_used_makes_room(pool: ModelPool, registry: FakeRegistry) -> None:
    """At the limit the newcomer stays, and so does the default, however long unused."""
    await load(pool, "other", 1)
    await load(pool, "other", 2)
    assert set(pool.loaded()) == {("cnn_lstm", 2), ("other", 2)}
    assert pool.state(("other", 1)) == "available"
    assert (await pool.get("", 0)).version == 2


async def test_use_keeps_a_version(
    registry: FakeRegistry, settings: Settings, told: list[ServedModel], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of two versions the one asked for last is kept."""
    monkeypatch.setattr("server.model_pool.create_engine", lambda *_, **__: FakeEngine())
    pool = ModelPool(
        registry,
        LiveSettings(settings.model_copy(update={"max_loaded_models": 3})),
        on_loaded=told.append,
    )
    await pool.start()
    for version in (1, 2):
        await load(pool, "other", version)
    await pool.get("other", 1)
    await load(pool, "other", 3)
    assert set(pool.loaded()) == {("cnn_lstm", 2), ("other", 1), ("other", 3)}
    pool.close()


async def test_a_single_place_holds_the_default_and_the_newest(
    registry: FakeRegistry, settings: Settings, told: list[ServedModel], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A limit of one still serves the default; another version takes turns beside it."""
    monkeypatch.setattr("server.model_pool.create_engine", lambda *_, **__: FakeEngine())
    pool = ModelPool(
        registry,
        LiveSettings(settings.model_copy(update={"max_loaded_models": 1})),
        on_loaded=told.append,
    )
    await pool.start()
    await load(pool, "other", 1)
    assert (await pool.get("other", 1)).name == "other"
    await load(pool, "other", 2)
    assert set(pool.loaded()) == {("cnn_lstm", 2), ("other", 2)}
    pool.close()


async def test_a_damaged_default_stops_the_start(
    registry: FakeRegistry, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever starts the replica is told the file."""
    registry.damaged.add(("cnn_lstm", 2))
    pool = ModelPool(registry, LiveSettings(settings), on_loaded=lambda _: None)
    with pytest.raises(ModelLoadError, match="secret"):
        await pool.start()
    pool.close()


async def test_whoever_needs_to_know_is_told_of_each_version(
    pool: ModelPool, registry: FakeRegistry, told: list[ServedModel]
) -> None:
    """Once for each that can answer, and never for one that failed; it can be had by then, with its warm-up times."""
    registry.damaged.add(("other", 1))
    await load(pool, "other", 1)
    await load(pool, "other", 2)
    assert [(served.name, served.version) for served in told] == [("cnn_lstm", 2), ("other", 2)]
    assert (await pool.get("other", 2)).warm_up == {size: size / 1000 for size in (1, 2, 4, 8, 16, 32, 64)}


@pytest.mark.parametrize(("value", "unusual"), [(0.0, False), (1e30, True), (-1e30, True)])
async def test_what_the_model_would_clip_is_unusual(pool: ModelPool, value: float, unusual: bool) -> None:
    """A single value beyond the normalisation's clip marks the window; the mean itself does not."""
    served = await pool.get("", 0)
    window = ((served.lower + served.upper) / 2).repeat(60, axis=1).astype(np.float32)
    assert not served.is_out_of_distribution(window)
    window[17, 31] += value
    assert served.is_out_of_distribution(window) is unusual
