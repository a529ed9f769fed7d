"""The command line against the running service: the commands of the README."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.integration.conftest import Service

TICKSERVE = Path(sys.executable).with_name("tickserve")
DATA = Path(__file__).parents[2] / "data/eurusd_1h.csv"


def tickserve(service: Service, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Runs the real command."""
    return subprocess.run(
        [TICKSERVE, *arguments, "--target", service.target], capture_output=True, text=True, timeout=60, check=False
    )


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (("predict", "--example", "--priority", "real_time", "--timeout", "5"), "buy"),
        (("models",), "cnn_lstm"),
        (("stats",), "real_time"),
        (("health",), "SERVING"),
    ],
    ids=lambda value: value[0] if isinstance(value, tuple) else "",
)
def test_commands_show_the_service(service: Service, arguments: tuple[str, ...], word: str) -> None:
    """Each command exits 0 and shows what it was asked for."""
    shown = tickserve(service, *arguments)
    assert shown.returncode == 0, shown.stderr
    assert word in shown.stdout


def test_deep_health_shows_the_engine(service: Service) -> None:
    """The replica that answers has just computed a window; how fast is not for a test on a shared machine to say."""
    shown = tickserve(service, "health", "--deep", "--json")
    [replica] = json.loads(shown.stdout)["replicas"]
    assert replica["health"]["ready"]
    assert (replica["health"]["deep_check"]["state"], shown.returncode) in (("HEALTHY", 0), ("DEGRADED", 4))


def test_stream_replays_a_file(service: Service) -> None:
    """`tickserve stream` replays real bars and gets one prediction for each after the warm-up."""
    shown = tickserve(
        service, "stream", "--csv", str(DATA), "--symbol", "CLI", "--speed", "max", "--limit", "50", "--json"
    )
    assert shown.returncode == 0, shown.stderr
    summary = json.loads(shown.stdout.splitlines()[-1])["summary"]
    assert (summary["history_bars"], summary["bars_sent"], summary["predictions"]) == (119, 50, 50)
    assert summary["errors"] == {}


def test_refusals_end_with_their_code_and_reason(service: Service) -> None:
    """A refused command exits 1 and shows the reason; an unreachable service exits 3."""
    refused = tickserve(service, "predict", "--symbol", "NOBODY-STREAMS-THIS")
    assert refused.returncode == 1
    assert "SYMBOL_NOT_FOUND" in refused.stderr
    lost = subprocess.run(
        [TICKSERVE, "health", "--target", "127.0.0.1:1"], capture_output=True, text=True, timeout=60, check=False
    )
    assert lost.returncode == 3
