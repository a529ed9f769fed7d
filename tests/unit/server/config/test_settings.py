"""Laws of the settings: unknown or contradictory ones are refused by name, and the nearer source wins."""

import math
import os
from pathlib import Path

import pytest

from batching import PriorityClass, SchedulerConfig
from server.config.settings import Settings, SettingsError, load_settings


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No settings from outside, and a folder without a file."""
    for name in os.environ:
        if name.upper().startswith(("TICKSERVE_", "BATCH_CONFIG_PROFILE")):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


def refusal_of(**overrides: object) -> str:
    """Returns why settings are refused."""
    with pytest.raises(SettingsError) as caught:
        load_settings(**overrides)
    return str(caught.value)


def test_the_defaults_stand_alone() -> None:
    """Nothing has to be set."""
    settings = load_settings()
    assert (settings.grpc_port, settings.http_port, settings.host) == (9000, 8000, "127.0.0.1")


def test_arguments_beat_environment_beats_file_beats_default(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """And what a nearer source leaves out comes from the next."""
    (tmp_path / "tickserve.toml").write_text(
        "grpc_port = 1001\nhttp_port = 1002\nmax_symbols = 7\n[scheduler]\nmax_batch_size = 3\nmax_queue_size = 5\n"
    )
    monkeypatch.setenv("TICKSERVE_GRPC_PORT", "2001")
    monkeypatch.setenv("TICKSERVE_HTTP_PORT", "2002")
    monkeypatch.setenv("TICKSERVE_SCHEDULER__MAX_BATCH_SIZE", "4")
    settings = load_settings(grpc_port=3001, http_port=None)
    assert (settings.grpc_port, settings.http_port, settings.max_symbols, settings.replicas) == (3001, 2002, 7, 1)
    assert (settings.scheduler.max_batch_size, settings.scheduler.max_queue_size) == (4, 5)


def test_the_file_may_lie_elsewhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """TICKSERVE_CONFIG names it; a name that is no file is refused."""
    file = tmp_path / "elsewhere.toml"
    file.write_text("grpc_port = 9123\n")
    monkeypatch.setenv("TICKSERVE_CONFIG", str(file))
    assert load_settings().grpc_port == 9123
    monkeypatch.setenv("TICKSERVE_CONFIG", str(tmp_path))
    assert "TICKSERVE_CONFIG" in refusal_of()


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("TICKSERVE_GRPC_PROT", "1"),
        ("TICKSERVE_SCHEDULER__MAX_BATCH_SISE", "1"),
        ("TICKSERVE_DEFAULT_TIMEOUTS__REALTIME", "1"),
        ("TICKSERVE_GRPC_PORT__X", "1"),
        ("tickserve_grpc_prot", "1"),
    ],
)
def test_an_unknown_variable_is_refused_by_name(monkeypatch: pytest.MonkeyPatch, variable: str, value: str) -> None:
    """A misspelt limit is found at the start, not at the worst moment."""
    monkeypatch.setenv(variable, value)
    last = variable.lower().removeprefix("tickserve_").split("__")[-1]
    assert last in refusal_of().lower()


@pytest.mark.parametrize("variable", ["TICKSERVE_TARGET", "OTHER_GRPC_PROT"])
def test_variables_of_others_are_left_alone(monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
    """The client shares the prefix; the rest of the environment is not ours."""
    monkeypatch.setenv(variable, "x")
    load_settings()


@pytest.mark.parametrize("line", ["grpc_prot = 1", "[scheduler]\nmax_batch_sise = 1", "[default_timeouts]\nfast = 1"])
def test_an_unknown_key_in_the_file_is_refused_by_name(tmp_path: Path, line: str) -> None:
    """At every level."""
    (tmp_path / "tickserve.toml").write_text(line + "\n")
    assert line.split("\n")[-1].split(" ")[0] in refusal_of()


def test_a_broken_file_is_refused(tmp_path: Path) -> None:
    """With words that name the file instead of a traceback."""
    for content in (b"grpc_port = = 1\n", b"\xff\xfe"):
        (tmp_path / "tickserve.toml").write_bytes(content)
        assert "tickserve.toml" in refusal_of()


def test_a_group_as_one_variable_is_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is no JSON object is told with the variable's field and the way to do it."""
    monkeypatch.setenv("TICKSERVE_SCHEDULER", "64")
    assert "scheduler" in refusal_of()
    monkeypatch.setenv("TICKSERVE_SCHEDULER", "fast")
    assert "scheduler" in refusal_of()


@pytest.mark.parametrize(
    ("overrides", "field"),
    [
        ({"grpc_port": 0}, "grpc_port"),
        ({"grpc_port": 65536}, "grpc_port"),
        ({"max_timeout": 0}, "max_timeout"),
        ({"max_timeout": float("inf")}, "max_timeout"),
        ({"reply_margin": -1}, "reply_margin"),
        ({"engine": "onnx"}, "engine"),
        ({"replicas": 0}, "replicas"),
        ({"scheduler": {"max_batch_size": 0}}, "scheduler.max_batch_size"),
        ({"scheduler": {"max_queue_delay": float("nan")}}, "scheduler.max_queue_delay"),
        ({"max_request_bytes": 20_000_000}, "max_request_bytes"),
        ({"default_timeouts": {"background": 500}}, "default_timeouts.background"),
        ({"max_timeout": 0.5, "default_timeouts": {"background": 0.4}}, "default_timeouts.standard"),
        ({"grpc_port": 8000}, "grpc_port"),
        ({"nonsense": 1}, "nonsense"),
    ],
)
def test_what_is_out_of_bounds_or_contradicts_is_refused_by_name(overrides: dict[str, object], field: str) -> None:
    """The field is in the message."""
    assert field in refusal_of(**overrides)


def test_every_problem_is_told_at_once() -> None:
    """Nobody likes to mend one at a time."""
    message = refusal_of(grpc_port=0, replicas=0)
    assert "grpc_port" in message
    assert "replicas" in message


def test_what_the_scheduler_gets_is_what_was_set() -> None:
    """One queue limit holds for each class, and another one for shadows, which never wait for their turn."""
    config = load_settings(scheduler={"max_batch_size": 5, "max_queue_size": 9}).scheduler.to_config()
    assert config.max_batch_size == 5
    sizes = dict(config.max_queue_size)
    assert sizes.pop(PriorityClass.SHADOW) == SchedulerConfig().max_queue_size[PriorityClass.SHADOW] == 256
    assert set(sizes.values()) == {9}
    config = load_settings(scheduler={"max_shadow_queue_size": 7}).scheduler.to_config()
    assert config.max_queue_size[PriorityClass.SHADOW] == 7
    assert config.max_wait[PriorityClass.SHADOW] == math.inf
    assert load_settings().default_timeouts.by_class()[PriorityClass.BACKGROUND] == 30.0


@pytest.mark.parametrize(
    ("cores", "replicas", "given", "cpus", "threads"),
    [
        (8, 2, {}, 4.0, 3),
        (2, 4, {}, 1.0, 1),
        (8, 1, {"replica_cpus": 2.5}, 2.5, 1),
        (8, 1, {"engine_threads": 3}, 8.0, 3),
    ],
)
def test_replicas_share_the_machine(
    monkeypatch: pytest.MonkeyPatch, cores: int, replicas: int, given: dict[str, float], cpus: float, threads: int
) -> None:
    """Evenly, at least one CPU and one thread each, a CPU left to the event loop, unless told otherwise."""
    monkeypatch.setattr(os, "cpu_count", lambda: cores)
    # How replicas share windows is another matter.
    settings = load_settings(replicas=replicas, windows={"allow_split": True}, **given)
    assert (settings.effective_replica_cpus(), settings.effective_engine_threads()) == (cpus, threads)


def test_settings_survive_the_journey_to_a_replica(monkeypatch: pytest.MonkeyPatch) -> None:
    """As plain data they become the same settings, whatever the environment over there says."""
    settings = load_settings(grpc_port=1234, scheduler={"max_batch_size": 5})
    monkeypatch.setenv("TICKSERVE_GRPC_PORT", "4321")
    monkeypatch.setenv("TICKSERVE_SCHEDULER__MAX_QUEUE_SIZE", "7")
    assert Settings(**settings.model_dump(mode="json")) == settings
