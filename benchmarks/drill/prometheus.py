"""A real Prometheus for one part of a run: started with this repository's rules, asked over its HTTP API."""

from __future__ import annotations

import contextlib
import json
import math
import shutil
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from benchmarks.drill.screen import Line
from benchmarks.peers.target import TargetError, free_ports

_COMMAND = "prometheus"
_CONFIG = Path(__file__).resolve().parent.parent.parent / "deploy/prometheus/prometheus.yml"
_START_TIMEOUT = 30.0
SCRAPE_INTERVAL = 1
"""Seconds; the repository's own configuration says 15, for which a drill has no time."""
STEP = 1.0
"""Seconds between two samples of a line."""


def is_installed() -> bool:
    """Tells whether this machine has a Prometheus."""
    return shutil.which(_COMMAND) is not None


class Prometheus:
    """One Prometheus.

    Args:
        port: Of its HTTP API, on loopback.
    """

    def __init__(self, port: int) -> None:
        self._url = f"http://127.0.0.1:{port}"

    def lines(self, expr: str, *, start: float, end: float) -> list[tuple[Mapping[str, str], Line]]:
        """Returns labels and samples of every series that an expression gives, a sample each `STEP`.

        Args:
            expr: PromQL.
            start: Unix time of the first sample.
            end: Of the last one.

        Raises:
            OSError: Prometheus refuses the expression, or does not answer.
        """
        found = self._get("/api/v1/query_range", query=expr, start=start, end=end, step=STEP)
        count = int((end - start) / STEP) + 1
        listed = []
        for series in found["result"]:
            line = [math.nan] * count
            for moment, value in series["values"]:
                line[round((moment - start) / STEP)] = float(value)
            listed.append((series["metric"], tuple(line)))
        return listed

    def firing(self) -> set[str]:
        """Returns the names of the alerts that fire or are about to."""
        found = self._get("/api/v1/alerts")
        return {alert["labels"]["alertname"] for alert in found["alerts"]}

    def wait_until_up(self) -> None:
        """Waits until the service has been scraped once.

        Raises:
            TargetError: It was not in time.
        """
        deadline = time.monotonic() + _START_TIMEOUT
        while time.monotonic() < deadline:
            with contextlib.suppress(OSError):
                if any(float(series["value"][1]) == 1 for series in self._get("/api/v1/query", query="up")["result"]):
                    return
            time.sleep(0.2)
        raise TargetError("Prometheus has not scraped the service")

    def _get(self, path: str, **query: object) -> Any:
        url = f"{self._url}{path}?{urllib.parse.urlencode(query)}"
        try:
            with urllib.request.urlopen(url, timeout=10) as response:
                return json.load(response)["data"]
        except urllib.error.HTTPError as error:
            raise OSError(f"{query}: {error.read().decode(errors='replace')}") from None


@contextlib.contextmanager
def prometheus(folder: Path, *, target: str) -> Iterator[Prometheus]:
    """Runs a Prometheus, without a past, that scrapes `target` each second; yields it after its first scrape.

    Raises:
        TargetError: It did not start.
    """
    [port] = free_ports(1)
    config = yaml.safe_load(_CONFIG.read_text(encoding="utf-8"))
    interval = f"{SCRAPE_INTERVAL}s"
    config["global"] |= {"scrape_interval": interval, "evaluation_interval": interval}
    config["rule_files"] = [str(_CONFIG.parent / pattern) for pattern in config["rule_files"]]
    [job] = config["scrape_configs"]
    job |= {"scrape_timeout": interval, "static_configs": [{"targets": [target]}]}
    folder.mkdir(parents=True)
    (folder / "prometheus.yml").write_text(yaml.safe_dump(config), encoding="utf-8")
    process = subprocess.Popen(
        [
            _COMMAND,
            f"--config.file={folder / 'prometheus.yml'}",
            f"--storage.tsdb.path={folder / 'data'}",
            f"--web.listen-address=127.0.0.1:{port}",
            "--log.level=error",
        ],
        stdin=subprocess.DEVNULL,
    )
    try:
        server = Prometheus(port)
        server.wait_until_up()
        yield server
    finally:
        process.terminate()
        process.wait()
