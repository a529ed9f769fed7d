"""Laws of `/metrics`: what is written is passed on as it is, without holding the loop up; where nothing is, it says."""

import threading

from server.http.http_app import build_http_app
from server.http.metrics_route import RenderMetrics
from tests.support.http_calls import Reply, fetch


async def get(render: RenderMetrics | None) -> Reply:
    """Returns what is answered while the metrics are written so."""
    return await fetch(build_http_app(lambda: None, metrics=lambda: render), "/metrics")


async def test_metrics_are_passed_on_with_their_type() -> None:
    """Byte by byte."""
    reply = await get(lambda: (b"tickserve_up 1\n", "text/plain; version=1.0.0; charset=utf-8"))
    assert (reply.status, reply.body) == (200, b"tickserve_up 1\n")
    assert reply.headers["content-type"] == "text/plain; version=1.0.0; charset=utf-8"
    assert reply.headers["cache-control"] == "no-store"


async def test_without_metrics_the_answer_says_why() -> None:
    """A scraper that is set up wrongly is told, not left to guess."""
    reply = await get(None)
    assert (reply.status, "switched off" in reply.json["detail"]) == (404, True)


async def test_they_are_written_in_a_thread() -> None:
    """Whoever writes them reads files, and requests wait for this loop."""
    threads: list[threading.Thread] = []

    def render() -> tuple[bytes, str]:
        threads.append(threading.current_thread())
        return b"", "text/plain"

    await get(render)
    assert threads != [threading.main_thread()]


async def test_a_failure_to_write_is_a_problem() -> None:
    """Nothing of it reaches the scraper."""
    reply = await get(lambda: 1 / 0)  # type: ignore[arg-type,return-value]
    assert (reply.status, b"division" in reply.body) == (500, False)
