"""Start and stop: ready in time, gone in time, and nothing left behind."""

import shlex
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from server.launcher import wait_until_serving
from server.process_tree import descendants
from tests.integration.conftest import START_TIMEOUT, Service, environment, serving, stop
from tests.support.doors import made_key, written_keys
from tests.support.waiting import wait_for
from tickserve import AuthenticationError, Client

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
        (["--host", "0.0.0.0"], 2, "allow_insecure_public_bind"),
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


def test_only_holders_of_a_key_are_served(registry: Path, tmp_path: Path) -> None:
    """Refusals arrive whole through HAProxy and Ray Serve; keys come and go while it runs; probes need none."""
    keys = tmp_path / "keys.json"
    [first] = written_keys(keys, made_key("first"))
    settings = environment(registry, TICKSERVE_SECURITY__KEYS_FILE=str(keys))
    with serving(settings, registry) as service:
        assert reason_of(service, api_key="") == "API_KEY_MISSING"
        assert reason_of(service, api_key=first + "x") == "API_KEY_INVALID"
        with Client(service.target, api_key="", retry=None) as client, pytest.raises(AuthenticationError) as caught:
            list(client.stream_predict([]))
        assert caught.value.reason == "API_KEY_MISSING"
        with Client(service.target, api_key=first, default_timeout=30) as client:
            assert client.models()
            assert client.health() == "SERVING"
        pages = [f"{service.http}/{name}" for name in ("readyz", "metrics", "", "v1/models")] + [
            f"http://{service.metrics}/metrics"
        ]
        assert [status(page) for page in pages] == [200, 401, 401, 401, 401]
        assert [status(page, authorization=f"Bearer {first}") for page in pages] == [200] * 5
        [second] = written_keys(keys, made_key("second"))
        wait_for(lambda: reason_of(service, api_key=second) == "", timeout=30)
        assert reason_of(service, api_key=first) == "API_KEY_INVALID"
        keys.write_text("not keys")
        wait_for(lambda: stale_replicas(service, second), timeout=30)
        assert reason_of(service, api_key=second) == ""


def reason_of(service: Service, *, api_key: str) -> str:
    """Returns why a key's call is refused; empty if it is not."""
    try:
        with Client(service.target, api_key=api_key, default_timeout=30) as client:
            client.models()
    except AuthenticationError as error:
        return error.reason
    return ""


def stale_replicas(service: Service, api_key: str) -> int:
    """Returns how many replicas say that they cannot read the file of keys."""
    page = urllib.request.Request(f"http://{service.metrics}/metrics", headers={"x-api-key": api_key})
    with urllib.request.urlopen(page, timeout=30) as response:
        lines = response.read().decode().splitlines()
    return sum(int(float(line.split()[-1])) for line in lines if line.startswith("tickserve_api_keys_stale{"))


def status(url: str, **headers: str) -> int:
    """Returns the status of a page."""
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=30) as response:
            return int(response.status)
    except urllib.error.HTTPError as error:
        with error:
            return int(error.code)
