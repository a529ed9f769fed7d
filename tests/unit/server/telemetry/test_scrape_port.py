"""The port that Prometheus scrapes: one holder, another when it dies, and no harm from whoever connects."""

import http.client
import logging
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest

from server.telemetry.scrape_port import ScrapePort

HOST = "127.0.0.1"
PATIENCE = 60.0


def page() -> tuple[bytes, str]:
    """Returns what is served."""
    return b"figures\n", "text/plain; version=0.0.4"


def get(port: int, path: str = "/metrics") -> tuple[int, bytes, str | None]:
    """Returns status, body and content type of a request."""
    connection = http.client.HTTPConnection(HOST, port, timeout=PATIENCE)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        return response.status, response.read(), response.getheader("Content-Type")
    finally:
        connection.close()


@pytest.fixture
def port() -> Iterator[ScrapePort]:
    """A port of the system's choice that serves the page."""
    port = ScrapePort(HOST, 0, page, retry_interval=0.01)
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


def test_closing_frees_the_port(port: ScrapePort) -> None:
    """Closed, it can be bound anew; closing again is nothing, and so is closing one that never began."""
    number = port.wait_until_held(PATIENCE)
    assert number is not None
    port.close()
    port.close()
    again = ScrapePort(HOST, number, page)
    again.start()
    assert again.wait_until_held(PATIENCE) == number
    again.close()
    ScrapePort(HOST, number, page).close()


def test_another_takes_over_when_the_holder_is_killed(caplog: pytest.LogCaptureFixture) -> None:
    """Who finds the port taken waits, says so once, and holds it as soon as its holder is dead."""
    caplog.set_level(logging.INFO)
    program = f"import socket\ns = socket.create_server(({HOST!r}, 0))\nprint(s.getsockname()[1], flush=True)\ninput()"
    holder = subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None
    assert holder.stdin is not None
    number = int(holder.stdout.readline())
    port = ScrapePort(HOST, number, page, retry_interval=0.01)
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
    port = ScrapePort("192.0.2.1", 9, page, retry_interval=0.01)  # an address that nobody has, by RFC 5737
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

    port = ScrapePort(HOST, 0, failing)
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

    port = ScrapePort(HOST, 0, slow)
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
