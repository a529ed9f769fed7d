"""Laws of health over HTTP: who asks whether to send, to wait or to replace gets the right word and the right code."""

from typing import Any

import pytest

from server.health.deep_health import DeepHealth, failed, measured
from server.health.readiness import FATAL, WARMING_UP, Blocker, Readiness
from server.http.http_app import build_http_app
from server.http.problem import PROBLEM_JSON
from tests.support.http_calls import Reply, fetch

HEALTHY = measured(at=50.0, engine=0.0042, queue=0.25, degraded_above=0.1)


class Replica:
    """A replica that says what it is told to."""

    def __init__(self, *blockers: Blocker, deep: DeepHealth = HEALTHY) -> None:
        self._readiness = Readiness(blockers=blockers)
        self._deep = deep
        self.asked = 0

    def readiness(self) -> Readiness:
        """As told."""
        return self._readiness

    async def check_deep(self) -> DeepHealth:
        """As told, and counted."""
        self.asked += 1
        return self._deep


async def get(path: str, replica: Replica | None, *, method: str = "GET") -> Reply:
    """Returns what is answered while the replica is as given."""
    return await fetch(build_http_app(lambda: replica), path, method=method)


async def test_all_is_well_while_the_replica_is_ready() -> None:
    """Four times 200, none of them to be kept by anybody."""
    expected: dict[str, Any] = {
        "/livez": {"live": True},
        "/readyz": {"ready": True, "reasons": []},
        "/healthz": {"status": "SERVING"},
    }
    for path, body in expected.items():
        reply = await get(path, Replica())
        assert (reply.status, reply.json, reply.headers["cache-control"]) == (200, body, "no-store")
    reply = await get("/health", Replica())
    assert (reply.status, reply.headers["cache-control"]) == (200, "no-store")


@pytest.mark.parametrize("blocker", Blocker, ids=lambda blocker: blocker.name)
async def test_each_blocker_stops_requests_and_only_fatal_ones_end_a_life(blocker: Blocker) -> None:
    """`/readyz` names the reason; `/livez` stays 200 in warm-up and drain, where a restart would do harm."""
    replica = Replica(blocker)
    ready, live, plain = [await get(path, replica) for path in ("/readyz", "/livez", "/healthz")]
    assert (ready.status, ready.headers["content-type"]) == (503, PROBLEM_JSON)
    assert ready.json["reasons"] == [blocker.name]
    assert ready.json["detail"].lower() == f"{blocker.value.lower()}."
    assert live.status == (503 if blocker in FATAL else 200)
    assert (plain.status, plain.json) == (503, {"status": "NOT_SERVING"})
    assert (await get("/health", replica)).status == 503


async def test_a_replica_that_is_not_there_yet_warms_up() -> None:
    """The process lives, and takes nothing."""
    assert [(await get(path, None)).status for path in ("/livez", "/readyz", "/healthz", "/health")] == [
        200,
        503,
        503,
        503,
    ]
    assert (await get("/readyz", None)).json["reasons"] == [blocker.name for blocker in WARMING_UP.blockers]
    assert (await get("/health", None)).json["status"] == "unknown"


async def test_several_reasons_are_all_told() -> None:
    """Worst first."""
    reply = await get("/readyz", Replica(Blocker.ENGINE_HUNG, Blocker.DRAINING))
    assert reply.json["reasons"] == ["ENGINE_HUNG", "DRAINING"]


@pytest.mark.parametrize(
    ("deep", "code", "first"),
    [
        (HEALTHY, 200, {"status": "healthy", "latency_ms": 4.2, "last_check": 50.0, "is_healthy": True}),
        (
            measured(at=50.0, engine=0.2, queue=0.0, degraded_above=0.1),
            200,
            {"status": "degraded", "latency_ms": 200.0, "last_check": 50.0, "is_healthy": False},
        ),
        (
            failed("the engine failed", at=50.0),
            503,
            {"status": "unhealthy", "error": "the engine failed", "last_check": 50.0, "is_healthy": False},
        ),
        (DeepHealth(), 200, {"status": "unknown", "latency_ms": 0.0, "last_check": 0.0, "is_healthy": False}),
    ],
    ids=lambda value: value.state.name if isinstance(value, DeepHealth) else "",
)
async def test_health_has_the_original_members_in_their_order(
    deep: DeepHealth, code: int, first: dict[str, Any]
) -> None:
    """Then the time, and then what the original had not; slow still answers, failed does not."""
    reply = await get("/health", Replica(deep=deep))
    assert reply.status == code
    members = list(reply.json.items())
    assert dict(members[:4]) == pytest.approx(first)
    assert [name for name, _ in members[:4]] == list(first)
    assert members[4][0] == "timestamp"
    assert members[4][1] > 1.7e9
    assert [name for name, _ in members[5:]] == ["queue_ms", "skipped_checks", "ready", "reasons"]


async def test_health_tells_the_queue_apart_and_what_was_skipped() -> None:
    """A busy replica is as healthy as it was."""
    reply = await get("/health", Replica(deep=HEALTHY.skipped(2.0)))
    assert reply.status == 200
    assert (reply.json["queue_ms"], reply.json["skipped_checks"], reply.json["is_healthy"]) == (250.0, 1, True)


@pytest.mark.parametrize("blocker", [Blocker.ENGINE_HUNG, Blocker.LOOP_DEAD], ids=lambda blocker: blocker.name)
async def test_an_engine_that_may_never_answer_is_not_asked(blocker: Blocker) -> None:
    """`/health` says so without waiting for it."""
    replica = Replica(blocker)
    reply = await get("/health", replica)
    assert (reply.status, reply.json["reasons"], replica.asked) == (503, [blocker.name], 0)


@pytest.mark.parametrize("path", ["/livez", "/readyz", "/healthz", "/health"])
async def test_load_balancers_may_ask_for_the_head_alone(path: str) -> None:
    """As many do."""
    assert (await get(path, Replica(), method="HEAD")).status == 200
    assert (await get(path, Replica(Blocker.ENGINE_HUNG), method="HEAD")).status == 503
