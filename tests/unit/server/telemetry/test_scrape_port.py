"""The port that Prometheus scrapes: one holder, another when it dies, and no harm from whoever connects."""

import base64
import http.client
import logging
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from server.telemetry.scrape_port import ScrapePort
from tests.support.doors import EDGE_SECRET, made_key, open_to, open_to_all, written_keys

HOST = "127.0.0.1"
PATIENCE = 60.0


def page() -> tuple[bytes, str]:
    """Returns what is served."""
    return b"figures\n", "text/plain; version=0.0.4"


def get(port: int, path: str = "/metrics", **headers: str) -> tuple[int, bytes, str | None]:
    """Returns status, body and content type of a request."""
    connection = http.client.HTTPConnection(HOST, port, timeout=PATIENCE)
    try:
        connection.request("GET", path, headers=headers)
        response = connection.getresponse()
        return response.status, response.read(), response.getheader("Content-Type")
    finally:
        connection.close()


@pytest.fixture
def port() -> Iterator[ScrapePort]:
    """A port of the system's choice that serves the page."""
    port = ScrapePort(HOST, 0, page, authorizer=open_to_all(), retry_interval=0.01)
    port.start()
    yield port
    port.close()


def test_it_serves_the_page_and_nothing_else(port: ScrapePort) -> None:
    """The page is at /metrics, with whatever query, and at /; another path says where it is."""
    number = port.wait_until_held(PATIENCE)
    assert number is not None
    for path in ("/metrics", "/metrics?name[]=x", "/"):
        assert get(number, path) == (200, b"figures\n", "text/plain; version=0.0.4")
    status, body, _ = get(number, "/else")
    assert (status, body) == (404, b"/metrics is here\n")


def test_it_obeys_the_same_keys(tmp_path: Path) -> None:
    """A scraper shows one that opens what is read; no edge stands in front of the port, so none is asked for."""
    path = tmp_path / "keys.json"
    reader, other = written_keys(
        path, made_key("prometheus", methods=("GetStatistics",)), made_key("desk", methods=("Predict",))
    )
    port = ScrapePort(HOST, 0, page, authorizer=open_to(path, edge_secret=EDGE_SECRET))
    port.start()
    number = port.wait_until_held(PATIENCE)
    assert number is not None
    status, body, _ = get(number)
    assert (status, b"API_KEY_MISSING" in body, b"figures" in body) == (401, True, False)
    assert get(number, Authorization=f"Bearer {other}")[0] == 403
    assert get(number, Authorization=f"Bearer {reader}x")[0] == 401
    basic = base64.b64encode(f"prometheus:{reader}".encode()).decode()
    for value in (f"Bearer {reader}", f"Basic {basic}"):
        assert get(number, Authorization=value)[:2] == (200, b"figures\n")
    port.close()


def test_closing_frees_the_port(port: ScrapePort) -> None:
    """Closed, it can be bound anew; closing again is nothing, and so is closing one that never began."""
    number = port.wait_until_held(PATIENCE)
    assert number is not None
    port.close()
    port.close()
    again = ScrapePort(HOST, number, page, authorizer=open_to_all())
    again.start()
    assert again.wait_until_held(PATIENCE) == number
    again.close()
    ScrapePort(HOST, number, page, authorizer=open_to_all()).close()


def test_another_takes_over_when_the_holder_is_killed(caplog: pytest.LogCaptureFixture) -> None:
    """Who finds the port taken waits, says so once, and holds it as soon as its holder is dead."""
    caplog.set_level(logging.INFO)
    program = f"import socket\ns = socket.create_server(({HOST!r}, 0))\nprint(s.getsockname()[1], flush=True)\ninput()"
    holder = subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None
    assert holder.stdin is not None
    number = int(holder.stdout.readline())
    port = ScrapePort(HOST, number, page, authorizer=open_to_all(), retry_interval=0.01)
    port.start()
    assert port.wait_until_held(0.2) is None
    holder.kill()
    holder.wait()
    holder.stdin.close()
    holder.stdout.close()
    assert port.wait_until_held(PATIENCE) == number
    assert get(number)[0] == 200
    assert [record.levelno for record in caplog.records] == [logging.INFO]
    port.close()


def test_an_address_that_cannot_be_had_is_an_error_in_the_log_alone(caplog: pytest.LogCaptureFixture) -> None:
    """A wrong host is logged once as an error, and neither raises nor keeps `close` waiting."""
    # An address that nobody has, by RFC 5737.
    port = ScrapePort("192.0.2.1", 9, page, authorizer=open_to_all(), retry_interval=0.01)
    port.start()
    assert port.wait_until_held(0.2) is None
    port.close()
    assert [record.levelno for record in caplog.records] == [logging.ERROR]


def test_a_page_that_fails_is_an_answer_and_a_line_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    """The scraper gets 500 and no internals; the next one is served."""
    outcomes = iter([OSError("secret"), None])

    def failing() -> tuple[bytes, str]:
        if (error := next(outcomes)) is not None:
            raise error
        return page()

    port = ScrapePort(HOST, 0, failing, authorizer=open_to_all())
    port.start()
    number = port.wait_until_held(PATIENCE)
    assert number is not None
    status, body, _ = get(number)
    assert status == 500
    assert b"secret" not in body
    assert "secret" in caplog.text
    assert get(number)[0] == 200
    port.close()


def test_scrapers_beyond_two_are_asked_to_come_again() -> None:
    """While two wait for their page a third gets 503 at once; so scrapers cannot pile up work."""
    begun, go_on = threading.Semaphore(0), threading.Event()

    def slow() -> tuple[bytes, str]:
        begun.release()
        assert go_on.wait(PATIENCE)
        return page()

    port = ScrapePort(HOST, 0, slow, authorizer=open_to_all())
    port.start()
    number = port.wait_until_held(PATIENCE)
    assert number is not None
    statuses: list[int] = []
    scrapers = [threading.Thread(target=lambda: statuses.append(get(number)[0])) for _ in range(2)]
    for scraper in scrapers:
        scraper.start()
        assert begun.acquire(timeout=PATIENCE)
    assert get(number)[0] == 503
    go_on.set()
    for scraper in scrapers:
        scraper.join(PATIENCE)
    assert statuses == [200, 200]
    port.close()


def test_who_connects_and_says_nothing_keeps_nobody_from_the_page(port: ScrapePort) -> None:
    """Silent connections and broken ones leave the page where it is."""
    number = port.wait_until_held(PATIENCE)
    assert number is not None
    silent = [socket.create_connection((HOST, number)) for _ in range(8)]
    silent[0].sendall(b"\x00\xff garbage\r\n\r\n")
    assert get(number)[0] == 200
    for connection in silent:
        connection.close()
