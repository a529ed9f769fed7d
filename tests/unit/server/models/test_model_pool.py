"""Laws of the model pool: what is loaded answers, what is not is loaded once, and the default is never lost."""

import asyncio
import dataclasses
import itertools
import threading
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from model.errors import ModelLoadError, ModelNotFoundError
from server.config.live_settings import LiveSettings
from server.config.model_settings import ModelSettings
from server.config.settings import Settings
from server.models.loaded_versions import Key
from server.models.model_pool import ModelPool
from server.models.served_model import ServedModel
from server.refusal import Reason, Refusal
from tests.support.fakes import served_model
from tests.support.registry import real_windows

MIB = 1024**2
SECRET = "/srv/secret/model.pth"


class FakeSource:
    """Versions in memory, each of one MiB.

    Attributes:
        known: Versions by name, ascending.
        damaged: Versions whose loading fails.
        loads: What was loaded, in order.
        beside: Those of them that were loaded with regard for the service.
        gate: Loading waits for it.
        gone: The registry cannot be read.
        latest_is_damaged: There is a `latest/` folder that cannot be imported.
        editions: How often a version's files were replaced, by version.
    """

    def __init__(self, known: Mapping[str, Sequence[int]]) -> None:
        self.known = {name: list(versions) for name, versions in known.items()}
        self.damaged: set[Key] = set()
        self.loads: list[Key] = []
        self.beside: list[Key] = []
        self.gate = threading.Event()
        self.gate.set()
        self.gone = False
        self.latest_is_damaged = False
        self.editions: Counter[Key] = Counter()

    def resolve(self, name: str, version: int | None) -> int:
        """See `VersionSource`."""
        if self.gone or (self.latest_is_damaged and version is None):
            raise ModelLoadError(Path(SECRET), "gone" if self.gone else "half-written")
        versions = self.known.get(name, [])
        if not versions or (version is not None and version not in versions):
            raise ModelNotFoundError(name, version, self.known)
        return version or versions[-1]

    def versions(self, name: str) -> tuple[int, ...]:
        """See `VersionSource`."""
        return () if self.gone else tuple(self.known.get(name, []))

    def identity(self, key: Key) -> int | None:
        """See `VersionSource`."""
        return None if self.gone or key[1] not in self.known.get(key[0], []) else self.editions[key]

    def load(self, key: Key, *, beside_service: bool) -> ServedModel:
        """See `VersionSource`."""
        name, number = key
        self.loads.append(key)
        if beside_service:
            self.beside.append(key)
        self.gate.wait(30)
        if key in self.damaged:
            raise ModelLoadError(Path(SECRET), "damaged")
        served = served_model(name=name, version=number)
        return dataclasses.replace(served, sha256=f"{name}:{number}:{self.editions[key]}", memory_bytes=MIB)


class Clock:
    """Seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        """Returns them."""
        return self.now


@pytest.fixture(scope="module", autouse=True)
def _data() -> None:
    """Reads the bar file before any test."""
    real_windows()


@pytest.fixture
def settings() -> Settings:
    """Two versions may be loaded."""
    return Settings(models=ModelSettings(memory_bytes=2 * MIB, idle_timeout=100.0))


@pytest.fixture
def source() -> FakeSource:
    """Two models, of which `other` has three versions."""
    return FakeSource({"cnn_lstm": [1, 2], "other": [1, 2, 3]})


@pytest.fixture
def told() -> list[ServedModel]:
    """The versions that the pool has told of, in order."""
    return []


@pytest.fixture
def clock() -> Clock:
    """The pool's clock."""
    return Clock()


@pytest.fixture
async def pool(
    source: FakeSource, settings: Settings, told: list[ServedModel], clock: Clock
) -> AsyncIterator[ModelPool]:
    """A pool whose default model answers."""
    pool = ModelPool(source, LiveSettings(settings), on_loaded=told.append, clock=clock)
    await pool.start()
    yield pool
    source.gate.set()
    pool.close()


def allow(pool: ModelPool, **values: Any) -> None:
    """Changes the live settings of the models."""
    settings = pool._live.current
    pool._live.change(settings.model_copy(update={"models": settings.models.model_copy(update=values)}))


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
    await asyncio.wait_for(pool._loading.idle(), 30)


@pytest.mark.parametrize(("name", "version"), [("", 0), ("", 2), ("cnn_lstm", 0), ("cnn_lstm", 2)])
async def test_the_default_is_the_latest_version(pool: ModelPool, name: str, version: int) -> None:
    """It answers to no name, to its own, and to its version, without a look at the disk."""
    served = await pool.get(name, version)
    assert (served.name, served.version) == ("cnn_lstm", 2)
    assert pool.is_default(("cnn_lstm", 2))


async def test_before_the_default_is_loaded_nothing_answers(source: FakeSource, settings: Settings) -> None:
    """MODEL_LOADING, with a delay, whatever is asked for."""
    pool = ModelPool(source, LiveSettings(settings), on_loaded=lambda _: None)
    for name, version in (("", 0), ("other", 1), ("nobody", 0)):
        refusal = await refusal_of(pool, name, version)
        assert refusal.reason is Reason.MODEL_LOADING
        assert refusal.retry_delay
    pool.close()


async def test_another_version_is_loaded_on_demand(pool: ModelPool, source: FakeSource) -> None:
    """First MODEL_LOADING, once loaded it is served; asking twice meanwhile loads once."""
    source.gate.clear()
    for _ in range(3):
        assert (await refusal_of(pool, "other", 3)).reason is Reason.MODEL_LOADING
    assert pool.state(("other", 3)) == "loading"
    source.gate.set()
    await loading_ended(pool)
    assert (await pool.get("other", 3)).version == 3
    assert pool.state(("other", 3)) == "serving"
    assert source.loads == [("cnn_lstm", 2), ("other", 3)]


async def test_the_latest_version_is_the_registrys(pool: ModelPool, source: FakeSource) -> None:
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


async def test_a_long_list_is_cut(pool: ModelPool, source: FakeSource) -> None:
    """A refusal fits in a trailer however many models there are."""
    source.known |= {f"model-{number}": [1] for number in range(1000)}
    assert len((await refusal_of(pool, "n" * 1000, 1)).message) < 1000


async def test_who_asks_does_not_wait_for_what_loads(pool: ModelPool, source: FakeSource) -> None:
    """While one version loads, another reference is answered at once."""
    source.gate.clear()
    await refusal_of(pool, "other", 1)
    refusal = await asyncio.wait_for(refusal_of(pool, "nobody", 0), 10)
    assert refusal.reason is Reason.MODEL_NOT_FOUND
    assert pool.state(("other", 1)) == "loading"


async def test_a_failed_load_is_remembered(
    pool: ModelPool, source: FakeSource, caplog: pytest.LogCaptureFixture
) -> None:
    """It is tried once, refused from then on without the file's name, and the log has that."""
    source.damaged.add(("other", 1))
    await load(pool, "other", 1)
    refusals = [await refusal_of(pool, "other", 1) for _ in range(3)]
    assert {refusal.reason for refusal in refusals} == {Reason.MODEL_NOT_FOUND}
    assert all("secret" not in f"{refusal} {refusal.metadata}" for refusal in refusals)
    assert SECRET in caplog.text
    assert source.loads.count(("other", 1)) == 1
    assert pool.state(("other", 1)) == "failed"


async def test_a_failed_load_is_tried_again_later(pool: ModelPool, source: FakeSource, clock: Clock) -> None:
    """A version whose files were mended answers without a restart."""
    source.damaged.add(("other", 1))
    await load(pool, "other", 1)
    source.damaged.clear()
    clock.now += 31
    await load(pool, "other", 1)
    assert (await pool.get("other", 1)).version == 1


async def test_no_refusal_is_raised_twice(pool: ModelPool, source: FakeSource) -> None:
    """Each caller gets one of its own: one that is raised again grows by a traceback each time."""
    source.damaged.add(("other", 1))
    await load(pool, "other", 1)
    assert await refusal_of(pool, "other", 1) is not await refusal_of(pool, "other", 1)


async def test_the_least_recently_used_makes_room(pool: ModelPool, source: FakeSource) -> None:
    """Over the budget the newcomer stays, and so does the default, however long unused."""
    await load(pool, "other", 1)
    await load(pool, "other", 2)
    assert set(pool.loaded()) == {("cnn_lstm", 2), ("other", 2)}
    assert pool.state(("other", 1)) == "available"
    assert (await pool.get("", 0)).version == 2


async def test_use_keeps_a_version(pool: ModelPool) -> None:
    """Of two versions the one asked for last is kept."""
    allow(pool, memory_bytes=3 * MIB)
    for version in (1, 2):
        await load(pool, "other", version)
    await pool.get("other", 1)
    await load(pool, "other", 3)
    assert set(pool.loaded()) == {("cnn_lstm", 2), ("other", 1), ("other", 3)}


async def test_a_budget_for_one_holds_the_default_and_the_newest(pool: ModelPool) -> None:
    """It still serves the default; another version takes turns beside it."""
    allow(pool, memory_bytes=MIB)
    await load(pool, "other", 1)
    assert (await pool.get("other", 1)).name == "other"
    await load(pool, "other", 2)
    assert set(pool.loaded()) == {("cnn_lstm", 2), ("other", 2)}


async def test_an_idle_version_leaves(pool: ModelPool, clock: Clock) -> None:
    """After the time that the settings name, counted from its last use; the default stays."""
    await load(pool, "other", 1)
    clock.now += 99
    await pool.get("other", 1)
    clock.now += 99
    await pool.refresh()
    assert ("other", 1) in pool.loaded()
    clock.now += 2
    await pool.refresh()
    assert set(pool.loaded()) == {("cnn_lstm", 2)}


async def test_pinned_and_protected_versions_stay(pool: ModelPool, clock: Clock) -> None:
    """They are loaded without being asked for, and neither time nor the budget moves them."""
    allow(pool, pinned=("other:1",))
    pool.protect(frozenset({("other", 2)}))
    await loading_ended(pool)
    await load(pool, "other", 3)
    clock.now += 1000
    await pool.refresh()
    assert set(pool.loaded()) == {("cnn_lstm", 2), ("other", 1), ("other", 2)}
    allow(pool, pinned=())
    pool.protect(frozenset())
    await pool.refresh()
    assert set(pool.loaded()) == {("cnn_lstm", 2)}


async def test_a_request_begins_to_load_and_does_not_wait(pool: ModelPool) -> None:
    """None until it can answer; an unknown model is none for good."""
    assert pool.request("other", 1) is None
    await loading_ended(pool)
    served = pool.request("other", 1)
    assert served is not None
    assert served.key == ("other", 1)
    assert pool.request("nobody", 0) is None
    default = pool.request("", 0)
    assert default is not None
    assert default.key == ("cnn_lstm", 2)


async def test_a_new_version_takes_over(pool: ModelPool, source: FakeSource) -> None:
    """It is loaded beside the one that serves, which serves until then, and stays for those who name it."""
    source.known["cnn_lstm"].append(3)
    source.gate.clear()
    await pool.refresh()
    assert (await pool.get("", 0)).version == 2
    assert pool.state(("cnn_lstm", 3)) == "loading"
    source.gate.set()
    await loading_ended(pool)
    assert (await pool.get("", 0)).version == 3
    assert pool.is_default(("cnn_lstm", 3))
    assert (await pool.get("", 2)).version == 2
    assert source.beside == [("cnn_lstm", 3)]


async def test_a_new_version_of_a_model_in_use_takes_over(pool: ModelPool, source: FakeSource) -> None:
    """Not of the default model alone."""
    assert (await refusal_of(pool, "other", 0)).reason is Reason.MODEL_LOADING
    await loading_ended(pool)
    source.known["other"].append(4)
    await pool.refresh()
    await loading_ended(pool)
    assert (await pool.get("other", 0)).version == 4


async def test_a_damaged_new_version_changes_nothing(pool: ModelPool, source: FakeSource, clock: Clock) -> None:
    """The one that serves goes on; the new one is tried again later, and takes over once it is mended."""
    source.known["cnn_lstm"].append(3)
    source.damaged.add(("cnn_lstm", 3))
    for _ in range(3):
        await pool.refresh()
        await loading_ended(pool)
    assert (await pool.get("", 0)).version == 2
    assert source.loads.count(("cnn_lstm", 3)) == 1
    source.damaged.clear()
    clock.now += 31
    await pool.refresh()
    await loading_ended(pool)
    assert (await pool.get("", 0)).version == 3


async def test_a_version_taken_back_gives_way(pool: ModelPool, source: FakeSource) -> None:
    """Whoever deletes the latest version wants the one before it to serve."""
    source.known["cnn_lstm"].remove(2)
    await pool.refresh()
    assert (await pool.get("", 0)).version == 2
    await loading_ended(pool)
    assert (await pool.get("", 0)).version == 1


async def test_a_registry_that_disappears_changes_nothing(pool: ModelPool, source: FakeSource) -> None:
    """What is loaded answers."""
    await load(pool, "other", 1)
    source.gone = True
    await pool.refresh()
    assert (await pool.get("", 0)).version == 2
    assert (await pool.get("other", 1)).version == 1
    refusal = await refusal_of(pool, "other", 2)
    assert refusal.reason is Reason.MODEL_NOT_FOUND
    assert "secret" not in str(refusal)


async def test_a_quarantined_version_gives_way(pool: ModelPool, source: FakeSource) -> None:
    """The version before it takes over, and the quarantined one is never loaded again, nor given to who names it."""
    pool.quarantine(("cnn_lstm", 2), "a test")
    assert (await pool.get("", 0)).version == 2, "with no other at hand it goes on"
    await pool.refresh()
    await loading_ended(pool)
    assert (await pool.get("", 0)).version == 1
    pool.quarantine(("cnn_lstm", 2), "again")
    await pool.refresh()
    await loading_ended(pool)
    assert (await pool.get("", 0)).version == 1
    assert pool.state(("cnn_lstm", 2)) == "failed"
    assert source.loads.count(("cnn_lstm", 2)) == 1


async def test_a_quarantined_version_is_refused_to_those_who_name_it(pool: ModelPool) -> None:
    """Another loaded version of its name takes over at once."""
    await load(pool, "cnn_lstm", 1)
    pool.quarantine(("cnn_lstm", 2), "a test")
    assert (await pool.get("", 0)).version == 1
    assert (await refusal_of(pool, "cnn_lstm", 2)).reason is Reason.MODEL_NOT_FOUND


async def test_a_sound_version_ends_a_quarantine(pool: ModelPool, source: FakeSource) -> None:
    """The next version published serves."""
    pool.quarantine(("cnn_lstm", 2), "a test")
    source.known["cnn_lstm"].append(3)
    await pool.refresh()
    await loading_ended(pool)
    assert (await pool.get("", 0)).version == 3


async def test_a_damaged_latest_lets_the_one_before_it_start(
    source: FakeSource, settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    """A replica that is replaced at night does not stay away because of it; the log has the file."""
    source.damaged.add(("cnn_lstm", 2))
    pool = ModelPool(source, LiveSettings(settings), on_loaded=lambda _: None)
    await pool.start()
    assert (await pool.get("", 0)).version == 1
    assert SECRET in caplog.text
    pool.close()


async def test_a_model_without_a_sound_version_stops_the_start(source: FakeSource, settings: Settings) -> None:
    """Whoever starts the replica is told the latest one's file."""
    source.damaged |= {("cnn_lstm", 1), ("cnn_lstm", 2)}
    pool = ModelPool(source, LiveSettings(settings), on_loaded=lambda _: None)
    with pytest.raises(ModelLoadError, match="secret"):
        await pool.start()
    assert source.loads == [("cnn_lstm", 2), ("cnn_lstm", 1)]
    pool.close()


async def test_whoever_needs_to_know_is_told_of_each_version(
    pool: ModelPool, source: FakeSource, told: list[ServedModel]
) -> None:
    """Once for each that can answer, and never for one that failed; it can be had by then."""
    source.damaged.add(("other", 1))
    await load(pool, "other", 1)
    await load(pool, "other", 2)
    assert [(served.name, served.version) for served in told] == [("cnn_lstm", 2), ("other", 2)]
    assert (await pool.get("other", 2)) is told[1]


async def look(pool: ModelPool) -> None:
    """Lets the pool look for versions, and waits until it has loaded what it found."""
    await pool.refresh()
    await loading_ended(pool)


async def test_a_number_that_is_published_anew_is_another_version(pool: ModelPool, source: FakeSource) -> None:
    """Whoever takes a version back and publishes the next one gives it the same number: it serves, not the old one."""
    source.known["cnn_lstm"].append(3)
    await look(pool)
    first = await pool.get("", 0)
    source.known["cnn_lstm"].remove(3)
    await look(pool)
    assert (await pool.get("", 0)).version == 2
    source.known["cnn_lstm"].append(3)
    source.editions["cnn_lstm", 3] += 1
    source.gate.clear()
    await pool.refresh()
    assert (await pool.get("", 0)).version == 2
    source.gate.set()
    await loading_ended(pool)
    second = await pool.get("", 0)
    assert (second.version, second.sha256 == first.sha256) == (3, False)
    await look(pool)
    assert source.loads.count(("cnn_lstm", 3)) == 2


async def test_files_replaced_under_a_version_that_serves(pool: ModelPool, source: FakeSource) -> None:
    """What was read before answers until the new files can; new ones that are damaged change nothing."""
    first = await pool.get("", 0)
    source.editions["cnn_lstm", 2] += 1
    source.damaged.add(("cnn_lstm", 2))
    await look(pool)
    assert await pool.get("", 0) is first
    assert pool.state(("cnn_lstm", 2)) == "failed"
    source.damaged.clear()
    source.editions["cnn_lstm", 2] += 1
    await look(pool)
    assert (await pool.get("", 0)).sha256 != first.sha256
    assert pool.state(("cnn_lstm", 2)) == "serving"


async def test_other_files_end_a_quarantine_and_nothing_else_does(pool: ModelPool, source: FakeSource) -> None:
    """A registry that comes back as it was, or time, does not; the retrained version of the same number does."""
    pool.quarantine(("cnn_lstm", 2), "a test")
    await look(pool)
    source.gone = True
    await look(pool)
    source.gone = False
    await look(pool)
    assert (await pool.get("", 0)).version == 1
    source.editions["cnn_lstm", 2] += 1
    await look(pool)
    served = await pool.get("", 0)
    assert (served.version, served.sha256) == (2, "cnn_lstm:2:1")


async def test_a_mended_version_is_tried_at_once(pool: ModelPool, source: FakeSource) -> None:
    """Nobody waits out a delay that was made for files that are still the same."""
    source.known["cnn_lstm"].append(3)
    source.damaged.add(("cnn_lstm", 3))
    await look(pool)
    assert pool.state(("cnn_lstm", 3)) == "failed"
    source.damaged.clear()
    source.editions["cnn_lstm", 3] += 1
    await look(pool)
    assert (await pool.get("", 0)).version == 3


async def test_a_damaged_version_that_is_deleted_is_unknown(pool: ModelPool, source: FakeSource) -> None:
    """Whoever names it is told what there is, not that it could not be loaded."""
    source.known["cnn_lstm"].append(3)
    source.damaged.add(("cnn_lstm", 3))
    await look(pool)
    assert "could not be loaded" in str(await refusal_of(pool, "cnn_lstm", 3))
    source.known["cnn_lstm"].remove(3)
    await look(pool)
    assert "no such model version" in str(await refusal_of(pool, "cnn_lstm", 3))


async def test_files_that_stay_damaged_are_tried_ever_less(pool: ModelPool, source: FakeSource, clock: Clock) -> None:
    """Trying costs the neighbours processor time; it goes on, every quarter of an hour in the end."""
    source.known["cnn_lstm"].append(3)
    source.damaged.add(("cnn_lstm", 3))
    tried = []
    for _ in range(300):  # fifty minutes
        before = len(source.loads)
        await look(pool)
        tried += [clock.now] * (len(source.loads) - before)
        assert pool.state(("cnn_lstm", 3)) == "failed"
        clock.now += 10
    delays = [after - before for before, after in itertools.pairwise(tried)]
    assert delays == [30, 60, 120, 240, 480, 900, 900]
    assert (await pool.get("", 0)).version == 2


async def test_the_next_highest_version_follows_a_quarantined_one(pool: ModelPool, source: FakeSource) -> None:
    """At once the highest below it that is loaded, and then the highest that can be."""
    source.known["cnn_lstm"] = [1, 2, 3, 4]
    await look(pool)
    await load(pool, "cnn_lstm", 1)
    pool._loaded.forget(("cnn_lstm", 2))
    pool.quarantine(("cnn_lstm", 4), "a test")
    assert (await pool.get("", 0)).version == 1
    await look(pool)
    assert (await pool.get("", 0)).version == 3


async def test_no_version_above_a_quarantined_one_takes_over(pool: ModelPool, source: FakeSource) -> None:
    """A version that was taken back and is still loaded for those who name it does not come to serve again."""
    source.known["cnn_lstm"].append(3)
    await look(pool)
    source.known["cnn_lstm"].remove(3)
    await look(pool)
    await load(pool, "cnn_lstm", 1)
    pool.quarantine(("cnn_lstm", 2), "a test")
    assert (await pool.get("", 0)).version == 1


async def test_a_damaged_latest_of_another_model_gives_way(pool: ModelPool, source: FakeSource) -> None:
    """Not the default model alone is served by the highest version that can be; without any, callers are told."""
    source.damaged |= {("other", 3), ("other", 2)}
    for _ in range(2):  # each failure sends the next caller one version further down
        await load(pool, "other", 0)
    await load(pool, "other", 0)
    assert (await pool.get("other", 0)).version == 1
    source.known["third"] = [1]
    source.damaged.add(("third", 1))
    await load(pool, "third", 0)
    for _ in range(2):
        assert (await refusal_of(pool, "third", 0)).reason is Reason.MODEL_NOT_FOUND


async def test_a_damaged_latest_folder_hides_no_other_version(
    pool: ModelPool, source: FakeSource, settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    """Versions beside it are found, one that starts serves them, and the log has its file once."""
    source.latest_is_damaged = True
    source.known["cnn_lstm"].append(3)
    for _ in range(3):
        await look(pool)
    assert (await pool.get("", 0)).version == 3
    assert caplog.text.count(SECRET) == 1
    another = ModelPool(source, LiveSettings(settings), on_loaded=lambda _: None)
    await another.start()
    assert (await another.get("", 0)).version == 3
    another.close()


async def test_a_registry_that_disappears_is_told_once_each_time(
    pool: ModelPool, source: FakeSource, caplog: pytest.LogCaptureFixture
) -> None:
    """The log has the reason, and not every five seconds."""
    for _ in range(2):
        source.gone = True
        for _ in range(3):
            await look(pool)
        source.gone = False
        await look(pool)
    assert caplog.text.count("gone") == 2
    assert source.loads == [("cnn_lstm", 2)]


async def test_what_failed_at_the_start_is_not_tried_again_at_once(
    source: FakeSource, settings: Settings, clock: Clock
) -> None:
    """It is known as failed, and takes over when it is mended."""
    source.damaged.add(("cnn_lstm", 2))
    pool = ModelPool(source, LiveSettings(settings), on_loaded=lambda _: None, clock=clock)
    await pool.start()
    assert pool.state(("cnn_lstm", 2)) == "failed"
    await look(pool)
    assert source.loads == [("cnn_lstm", 2), ("cnn_lstm", 1)]
    source.damaged.clear()
    source.editions["cnn_lstm", 2] += 1
    await look(pool)
    assert (await pool.get("", 0)).version == 2
    pool.close()


async def test_a_fault_of_ours_is_logged_with_its_trace(
    pool: ModelPool, source: FakeSource, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What no rule foresaw fails the version alone, and can be found."""

    def fail(*_: object, **__: object) -> ServedModel:
        raise KeyError("a bug")

    monkeypatch.setattr(source, "load", fail)
    await load(pool, "other", 1)
    assert pool.state(("other", 1)) == "failed"
    assert "Traceback" in caplog.text
    assert (await pool.get("", 0)).version == 2
