"""Start and stop: ready in time, gone in time, and nothing left behind."""

import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from server.launcher import wait_until_serving
from server.process_tree import descendants
from tests.integration.conftest import START_TIMEOUT, Service, environment, serving, stop
from tickserve import Client

BIN = Path(sys.executable).parent


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda number: number.name)
def test_stops_in_time_and_leaves_nothing(registry: Path, number: signal.Signals) -> None:
    """A signal ends the service with exit code 0 within 15 s, even with a stream open, and no process survives."""
    with serving(environment(registry), registry) as service, Client(service.target) as client:
        ticks = client.stream_ticks(["OPEN"])
        ticks.__enter__()
        family = descendants(service.process.pid)
        assert len(family) > 5
        took = stop(service.process, number)
        ticks.close()
    assert service.process.returncode == 0
    assert took < 15
    assert [pid for pid in family if Path(f"/proc/{pid}").exists()] == []


def test_stop_during_start_leaves_nothing(registry: Path) -> None:
    """A signal during start-up is obeyed, too."""
    process = subprocess.Popen(
        [BIN / "tickserve", "serve"], env=environment(registry), stdout=subprocess.PIPE, text=True
    )
    deadline = time.monotonic() + START_TIMEOUT
    while len(descendants(process.pid)) < 3 and time.monotonic() < deadline:
        time.sleep(0.05)
    family = descendants(process.pid)
    assert stop(process) < 15
    assert process.stdout is not None
    process.stdout.close()
    assert process.returncode == 0
    assert [pid for pid in family if Path(f"/proc/{pid}").exists()] == []


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["--registry", "/nonexistent"], 1, "tickserve train"),
        (["--default-model", "nobody"], 1, "nobody"),
        (["--replicas", "0"], 2, "replicas"),
    ],
)
def test_refuses_to_start_with_the_remedy(registry: Path, arguments: list[str], code: int, words: str) -> None:
    """What cannot be served is refused before anything starts, in words that name it."""
    refused = subprocess.run(
        [BIN / "tickserve", "serve", *arguments],
        env=environment(registry),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert refused.returncode == code
    assert words in refused.stderr
    assert "Traceback" not in refused.stderr


def test_taken_port_is_named(service: Service, registry: Path) -> None:
    """A port that is in use is refused by its number."""
    port = service.target.rpartition(":")[2]
    refused = subprocess.run(
        [BIN / "tickserve", "serve", "--grpc-port", port],
        env=environment(registry),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert refused.returncode == 1
    assert port in refused.stderr


def test_serve_run_with_the_printed_environment(registry: Path) -> None:
    """`eval "$(tickserve env)" && serve run server.app:build` serves the same application."""
    env = environment(registry)
    path = shlex.quote(str(BIN))
    process = subprocess.Popen(
        ["bash", "-c", f'PATH={path}:$PATH; eval "$(tickserve env)" && exec serve run server.app:build'],
        env=env,
        cwd=Path(__file__).parents[2],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    )
    try:
        target = f"127.0.0.1:{env['TICKSERVE_GRPC_PORT']}"
        wait_until_serving(target, timeout=START_TIMEOUT)
        with Client(target) as client:
            assert client.health("cnn_lstm") == "SERVING"
            assert client.models()[0].version.name == "cnn_lstm"
    finally:
        family = descendants(process.pid)
        process.send_signal(signal.SIGINT)
        try:
            process.wait(60)
        finally:
            for pid in (process.pid, *family):
                subprocess.run(["kill", "-KILL", str(pid)], check=False, stderr=subprocess.DEVNULL)
