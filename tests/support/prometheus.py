"""Debian's Prometheus, scraping for a test on loopback."""

from __future__ import annotations

import http.client
import json
import shutil
import subprocess
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.waiting import wait_for


class Prometheus:
    """A running server.

    Args:
        address: Where it listens.
    """

    def __init__(self, address: str) -> None:
        self._address = address

    def query(self, expression: str) -> list[tuple[dict[str, str], float]]:
        """Returns labels and value of each series of an instant vector."""
        answer = self._get("/api/v1/query?" + urllib.parse.urlencode({"query": expression}))
        assert answer["status"] == "success", answer
        return [(series["metric"], float(series["value"][1])) for series in answer["data"]["result"]]

    def value(self, expression: str) -> float | None:
        """Returns the value of the one series of an instant vector; None without any."""
        found = self.query(expression)
        assert len(found) <= 1, found
        return found[0][1] if found else None

    def _get(self, path: str) -> Any:
        with urllib.request.urlopen(f"http://{self._address}{path}", timeout=30) as response:
            return json.load(response)


@contextmanager
def prometheus(folder: Path, *, listen: str, target: str, interval: str = "500ms") -> Iterator[Prometheus]:
    """Runs a server that scrapes one target of the job `tickserve`; skips the test where there is none installed.

    Args:
        folder: Where it keeps what it needs.
        listen: Its own address.
        target: What it scrapes.
        interval: Between two scrapes.
    """
    binary = shutil.which("prometheus")
    if binary is None:
        pytest.skip("needs Debian's prometheus package")
    config = {
        "global": {"scrape_interval": interval, "scrape_timeout": interval},
        "scrape_configs": [{"job_name": "tickserve", "static_configs": [{"targets": [target]}]}],
    }
    (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
    with (folder / "prometheus.log").open("wb") as log:
        server = subprocess.Popen(
            [
                binary,
                f"--config.file={folder / 'prometheus.yml'}",
                f"--storage.tsdb.path={folder / 'data'}",
                f"--web.listen-address={listen}",
            ],
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    try:
        wait_for(lambda: _is_ready(listen))
        yield Prometheus(listen)
    finally:
        server.terminate()
        server.wait(30)


def _is_ready(address: str) -> bool:
    connection = http.client.HTTPConnection(address, timeout=5)
    try:
        connection.request("GET", "/-/ready")
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()
