"""Versions come, go and break in the registry of a real service while it is called, and no call fails for it.

All tests but the first share one service and leave it with some sound version serving; each asks which.
"""

import asyncio
import dataclasses
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from model.registry import Registry
from tests.integration.conftest import Service, environment, serving
from tests.support.registry import NAME, make_registry, real_windows
from tests.support.tiny_model import Trap, saved_bytes
from tests.support.waiting import wait_for
from tickserve import (
    AsyncClient,
    Client,
    Model,
    ModelState,
    NotFoundError,
    Prediction,
    StreamItem,
    TickserveError,
    UnavailableError,
)

FloatArray = NDArray[np.float32]
OTHER = "other"
TICKSERVE = Path(sys.executable).with_name("tickserve")
# A version that is prepared beside the service gets what processor time is left, and the machine may be busy.
PATIENCE = 100.0
# Seconds between two calls of one caller: enough traffic to notice a gap, and time left to load beside it.
PACE = 0.01


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A registry of two models; the latest of the three versions of the default one is damaged."""
    path = make_registry(tmp_path_factory.mktemp("live") / "registry")
    make_registry(path, name=OTHER)
    new = stage(path)
    truncate_weights(new)
    publish(path, new)
    return path


@pytest.fixture(scope="module")
def live(place: Path) -> Iterator[Service]:
    """A service of its own, for these tests change what it serves. Its memory is for one version beside the kept."""
    env = environment(
        place,
        TICKSERVE_MODELS__POLL_INTERVAL="0.2",
        TICKSERVE_MODELS__MEMORY_BYTES=str(2**20),
        TICKSERVE_MODELS__PINNED=json.dumps([f"{OTHER}:1"]),
        # Line by line: Ray Serve would keep a thousand lines before it writes the first.
    )
    with serving(env, place) as running:
        yield running


@pytest.fixture
def client(live: Service) -> Iterator[Client]:
    """A connection to it."""
    with Client(live.target, default_timeout=20, retry=None) as connected:
        yield connected


def stage(place: Path, *, unseen: bool = False) -> Path:
    """Makes a new version that differs from all others, beside the registry, as a careful copy would; returns it.

    Args:
        place: The registry.
        unseen: Whether no run of these tests has had its weights, so that nothing compiled of them is kept.
    """
    registry = Registry(place)
    loaded = registry.load(NAME, 1)
    number = registry.versions(NAME)[-1] + 1
    loaded.network.state_dict()["classification.output.bias"].add_(
        0.01 * number + (time.time_ns() % 10**6 * 1e-7 if unseen else 0)
    )
    new = place.parent / f"new-{time.monotonic_ns()}"
    Registry(new).save(NAME, loaded.network, loaded.config, real_windows()[:256])
    return new / NAME / "1"


def publish(place: Path, new: Path) -> int:
    """Renames a finished version to its place in the registry; returns its number, the highest."""
    number = Registry(place).versions(NAME)[-1] + 1
    new.rename(place / NAME / str(number))
    return number


def put(path: Path, content: bytes) -> None:
    """Puts a file with this content in another one's place at once."""
    beside = path.with_name(f".{path.name}-writing")
    beside.write_bytes(content)
    beside.replace(path)


def edit_config(folder: Path, **values: Any) -> None:
    """Replaces fields of a version's config."""
    path = folder / "config.json"
    put(path, json.dumps(json.loads(path.read_text()) | values).encode())


def vouch(folder: Path, weights: bytes) -> None:
    """Writes weights and their hash, as one with write access could."""
    put(folder / "model.pth", weights)
    edit_config(folder, sha256=hashlib.sha256(weights).hexdigest())


def truncate_weights(folder: Path) -> None:
    """As a copy that was cut off."""
    path = folder / "model.pth"
    os.truncate(path, path.stat().st_size // 2)


def forge_hash(folder: Path) -> None:
    """Weights of one version with the config of another."""
    edit_config(folder, sha256="0" * 64)


def plant_code(folder: Path) -> None:
    """A pickle that does something when it is read, vouched for by its config."""
    vouch(folder, saved_bytes({"weights": Trap(folder.parent / "trap")}))


def mismatch_config(folder: Path) -> None:
    """A config that describes another network."""
    network = json.loads((folder / "config.json").read_text())["network"]
    edit_config(folder, network=network | {"head_hidden": 2 * network["head_hidden"]})


def swap_golden_windows(folder: Path) -> None:
    """Golden windows that are not those that the config vouches for."""
    np.save(folder / "golden.npy", real_windows()[100:356])


def explode_answers(folder: Path) -> None:
    """Weights that are finite, and whose answers to real windows are not."""
    registry = Registry(folder.parents[1])
    state = registry.load(NAME, int(folder.name)).network.state_dict()
    state["classification.output.weight"].fill_(3e38)
    vouch(folder, saved_bytes(state))


def log_of(service: Service) -> str:
    """Returns what the replica has logged: Ray Serve puts its errors, too, into a file beside its worker's own."""
    errors = Path(f"/proc/{service.replica_pid()}/fd/2").readlink()
    return "".join(file.read_text() for file in errors.parent.glob("serve/replica_*.log"))


def version(client: Client) -> int:
    """Returns the version that answers who names none."""
    return client.predict(real_windows()[0], bypass_cache=True).model.version


def serves(client: Client, wanted: int) -> None:
    """Waits until a version answers, while no call fails."""
    wait_for(lambda: version(client) == wanted, timeout=PATIENCE)


def listed(client: Client) -> dict[tuple[str, int], Model]:
    """Returns what callers are told of all versions."""
    return {(model.version.name, model.version.version): model for model in client.models()}


def refusal(client: Client, model: str) -> TickserveError:
    """Returns why a version is refused for good; it may be tried first."""

    def ask() -> TickserveError | None:
        with pytest.raises((UnavailableError, NotFoundError)) as refused:
            client.predict(real_windows()[0], model=model)
        return None if refused.value.reason == "MODEL_LOADING" else refused.value

    return wait_for(ask, timeout=PATIENCE)


def test_what_the_original_had_is_served(tmp_path: Path) -> None:
    """MODEL_REGISTRY_PATH, bare weights in MODEL_PATH, and a literal `latest/` folder that changes while it serves."""
    place = make_registry(tmp_path / "models", versions=1)
    registry = Registry(place)
    loaded = registry.load(NAME, 1)
    bias = loaded.network.state_dict()["classification.output.bias"]

    def weights() -> tuple[bytes, str]:
        bias.add_(0.1)
        content = saved_bytes(loaded.network.state_dict())
        return content, hashlib.sha256(content).hexdigest()

    bare, bare_sha256 = weights()
    (tmp_path / "cnn_lstm_hybrid.pth").write_bytes(bare)
    latest = place / NAME / "latest"
    latest.mkdir()
    content, first_sha256 = weights()
    (latest / "model.pth").write_bytes(content)
    (latest / "config.json").write_text(dataclasses.replace(loaded.config, sha256="").to_json())

    env = environment(
        place,
        MODEL_REGISTRY_PATH=str(place),
        MODEL_PATH=str(tmp_path / "cnn_lstm_hybrid.pth"),
        TICKSERVE_MODELS__POLL_INTERVAL="0.2",
    )
    del env["TICKSERVE_REGISTRY"]
    with serving(env, place) as service, Client(service.target, default_timeout=20, retry=None) as client:
        answer = client.predict(real_windows()[0])
        assert (answer.model.version, answer.model.sha256) == (3, first_sha256)
        assert listed(client)[NAME, 2].version.sha256 == bare_sha256
        content, second_sha256 = weights()
        put(latest / "model.pth", content)
        serves(client, 4)
        assert client.predict(real_windows()[0]).model.sha256 == second_sha256
    assert registry.versions(NAME) == (1, 2, 3, 4)


def test_a_damaged_latest_lets_the_one_before_it_start(live: Service, place: Path, client: Client) -> None:
    """The log has its file and reason, callers see that it failed; mended, it takes over without a restart."""
    assert version(client) == 2
    assert listed(client)[NAME, 3].state is ModelState.FAILED
    assert f"{place / NAME / '3' / 'model.pth'}: sha256 is " in log_of(live)
    sound = stage(place)
    put(place / NAME / "3/config.json", (sound / "config.json").read_bytes())
    put(place / NAME / "3/golden.npy", (sound / "golden.npy").read_bytes())
    put(place / NAME / "3/model.pth", (sound / "model.pth").read_bytes())
    serves(client, 3)
    assert listed(client)[NAME, 3].is_default


async def test_a_new_version_takes_over_under_load(
    live: Service, place: Path, client: Client, record_testsuite_property: Callable[[str, object], None]
) -> None:
    """No call fails, no stream ends, each caller hears the old version and then the new; the slowest is recorded."""
    before = version(client)
    windows = real_windows()
    stop = asyncio.Event()
    took: list[float] = []

    async def call(connected: AsyncClient, number: int) -> list[int]:
        versions: list[int] = []
        while not stop.is_set():
            began = time.monotonic()
            prediction = await connected.predict(windows[len(versions) % 256 + number], bypass_cache=True, timeout=20)
            took.append(time.monotonic() - began)
            versions.append(prediction.model.version)
            await asyncio.sleep(PACE)
        return versions

    async def stream(connected: AsyncClient) -> list[int]:
        sent: list[str] = []
        answered: list[str] = []
        ready = asyncio.Event()

        async def items() -> AsyncIterator[StreamItem]:
            while not stop.is_set():
                sent.append(str(len(sent)))
                ready.clear()
                yield StreamItem(request_id=sent[-1], window=windows[len(sent) % 512], timeout=20)
                await ready.wait()
                await asyncio.sleep(PACE)

        versions = []
        async for request_id, result in connected.stream_predict(items()):
            assert isinstance(result, Prediction), result
            answered.append(request_id)
            versions.append(result.model.version)
            ready.set()
        assert answered == sent
        return versions

    async with AsyncClient(live.target, retry=None) as connected:
        callers = [asyncio.create_task(call(connected, 16 * number)) for number in range(4)]
        callers.append(asyncio.create_task(stream(connected)))
        try:
            new = await asyncio.to_thread(lambda: publish(place, stage(place, unseen=True)))
            await asyncio.to_thread(serves, client, new)
            await asyncio.sleep(20 * PACE)  # so that each of them hears it
        finally:
            stop.set()
        heard = await asyncio.wait_for(asyncio.gather(*callers), PATIENCE)
    for versions in heard:
        assert versions == sorted(versions)
        assert set(versions) == {before, new}
    record_testsuite_property("new_version_calls", sum(map(len, heard)))
    record_testsuite_property("new_version_slowest_call_ms", round(1000 * max(took), 1))


@pytest.mark.parametrize(
    ("damage", "file", "reason"),
    [
        (truncate_weights, "model.pth", "sha256 is"),
        (forge_hash, "model.pth", "config.json says 0000"),
        (plant_code, "model.pth", "is not a file of plain tensors"),
        (mismatch_config, "model.pth", "does not fit config.json"),
        (swap_golden_windows, "golden.npy", "sha256 is"),
        # No file is to blame, and whatever looks at the answers first says so.
        (explode_answers, None, "not finite or not normalised|probability nan"),
    ],
)
def test_a_bad_new_version_harms_nobody(
    live: Service, place: Path, client: Client, damage: Callable[[Path], None], file: str | None, reason: str
) -> None:
    """What serves goes on; callers are told that the version failed and nothing of files, which the log names."""
    before = version(client)
    new = stage(place)
    damage(new)
    number = publish(place, new)
    folder = place / NAME / str(number)
    try:
        at = re.escape(str(folder / file)) if file else ""
        failure = re.compile(f"model {NAME} version {number} could not be loaded: {at}.*({reason})")

        def logged() -> bool:
            assert version(client) == before
            return failure.search(log_of(live)) is not None

        wait_for(logged, timeout=PATIENCE)
        told = listed(client)[NAME, number]
        assert told.state is ModelState.FAILED
        assert str(place) not in repr(told)
        error = refusal(client, f"{NAME}:{number}")
        assert error.reason == "MODEL_NOT_FOUND"
        assert str(place) not in f"{error} {error.metadata}"
        assert not list(place.parent.rglob("trap"))
    finally:
        shutil.rmtree(folder)
    assert version(client) == before


def test_a_half_written_version_is_none_yet(live: Service, place: Path, client: Client) -> None:
    """It is not listed, whoever names it is refused and the log says what is missing; complete, it takes over."""
    before = version(client)
    new = stage(place)
    (new / "config.json").rename(new.parent / "config.json")
    number = publish(place, new)
    folder = place / NAME / str(number)
    assert (NAME, number) not in listed(client)

    def logged() -> bool:
        error = refusal(client, f"{NAME}:{number}")
        assert (error.reason, str(place) in str(error)) == ("MODEL_NOT_FOUND", False)
        return f"{folder}: half-written: config.json missing" in log_of(live)

    wait_for(logged, timeout=PATIENCE)  # another version of this number may have been refused before
    assert version(client) == before
    (new.parent / "config.json").rename(folder / "config.json")
    serves(client, number)


def test_deleting_the_highest_version_brings_the_one_before_back(live: Service, place: Path, client: Client) -> None:
    """Calls succeed all the time."""
    del live
    highest = version(client)
    before = max(number for number in Registry(place).versions(NAME) if number < highest)
    shutil.rmtree(place / NAME / str(highest))
    serves(client, before)
    assert (NAME, highest) not in listed(client)


def test_a_registry_that_disappears_and_comes_back(live: Service, place: Path, client: Client) -> None:
    """What is loaded answers and is told of all along; nothing else is to be had meanwhile, and the log says why."""
    before = version(client)
    away = place.with_name("away")
    place.rename(away)
    try:
        wait_for(lambda: f"{place}: was there and has disappeared" in log_of(live), timeout=PATIENCE)
        assert version(client) == before
        told = listed(client)
        assert (told[NAME, before].state, told[NAME, before].is_default) == (ModelState.SERVING, True)
        error = refusal(client, f"{NAME}:{before + 1000}")
        assert str(place) not in f"{error} {error.metadata}"
        assert client.health() == "SERVING"
    finally:
        away.rename(place)
    complete = {(name, number) for name in (NAME, OTHER) for number in Registry(place).versions(name)}
    assert listed(client).keys() == complete
    assert version(client) == before


def test_memory_has_a_budget_and_pinned_versions_stay(live: Service, place: Path, client: Client) -> None:
    """A cold version is told of with a delay, then answers, and leaves when others are used; a pinned one stays."""
    del live, place
    window = real_windows()[0]

    def pinned() -> bool:
        return listed(client)[OTHER, 1].state is ModelState.SERVING

    wait_for(pinned, timeout=PATIENCE)
    told: list[UnavailableError] = []

    def answer() -> Prediction | None:
        try:
            return client.predict(window, model=f"{OTHER}:2")
        except UnavailableError as error:
            told.append(error)
            return None

    assert wait_for(answer, timeout=PATIENCE).model.version == 2
    assert told, "a version that is not loaded cannot answer at once"
    assert {(error.reason, bool(error.retry_delay)) for error in told} == {("MODEL_LOADING", True)}

    def cold_again() -> bool:
        version(client)
        return listed(client)[OTHER, 2].state is ModelState.AVAILABLE

    wait_for(cold_again, timeout=PATIENCE)
    assert pinned()
    assert client.predict(window, model=f"{OTHER}:1").model.version == 1


def test_the_command_line_says_what_answers_and_why(live: Service, client: Client) -> None:
    """`tickserve models` shows engine, precision, threads and reason of each loaded version."""
    shown = subprocess.run(
        [TICKSERVE, "models", "--target", live.target],
        env=os.environ | {"COLUMNS": "400"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert shown.returncode == 0, shown.stderr
    [default] = [model for model in client.models() if model.is_default]
    [line] = [line for line in shown.stdout.splitlines() if f"{default.version} (default)" in line]
    engine = default.engine
    assert engine is not None
    assert engine.reason
    for words in ("SERVING", f"{engine.name} {engine.precision} {engine.device}, {engine.thread_count} threads"):
        assert words in line
    assert engine.reason in line
