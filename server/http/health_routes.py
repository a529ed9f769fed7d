"""Health over HTTP, for load balancers, Kubernetes and people with curl; `docs/health.md` says which to ask when."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Protocol

from fastapi import APIRouter, Response

from server.health.deep_health import DeepHealth, DeepState
from server.health.readiness import WARMING_UP, Blocker, Readiness
from server.http.problem import Problem

_NO_STORE = {"Cache-Control": "no-store"}
# Load balancers ask for the head alone.
_METHODS = ["GET", "HEAD"]


class HealthSource(Protocol):
    """What knows how a replica fares."""

    def readiness(self) -> Readiness:
        """Returns whether it takes requests, and why not."""
        ...

    async def check_deep(self) -> DeepHealth:
        """Returns what a check of the engine finds now, or found a moment ago."""
        ...


def health_router(source: Callable[[], HealthSource | None], *, clock: Callable[[], float] = time.time) -> APIRouter:
    """Returns the routes `/livez`, `/readyz`, `/healthz` and `/health`.

    Args:
        source: Returns who is asked; None while the replica has not come up.
        clock: Seconds since the epoch.
    """
    router = APIRouter()

    def readiness() -> Readiness:
        replica = source()
        return WARMING_UP if replica is None else replica.readiness()

    @router.api_route("/livez", methods=_METHODS, include_in_schema=False)
    async def livez(response: Response) -> dict[str, bool]:
        """200 unless only a new process helps: also while the replica warms up and while it drains."""
        found = readiness()
        if not found.live:
            raise _unavailable("The replica must be replaced", found.blockers)
        response.headers.update(_NO_STORE)
        return {"live": True}

    @router.api_route("/readyz", methods=_METHODS, include_in_schema=False)
    async def readyz(response: Response) -> dict[str, Any]:
        """200 while the replica takes requests, else 503 with the reasons."""
        found = readiness()
        if not found.ready:
            raise _unavailable("The replica takes no requests", found.blockers)
        response.headers.update(_NO_STORE)
        return {"ready": True, "reasons": []}

    @router.api_route("/healthz", methods=_METHODS, include_in_schema=False)
    async def healthz(response: Response) -> dict[str, str]:
        """Says over HTTP what `grpc.health.v1.Health/Check` says of the whole replica."""
        ready = readiness().ready
        response.status_code = 200 if ready else 503
        response.headers.update(_NO_STORE)
        return {"status": "SERVING" if ready else "NOT_SERVING"}

    @router.api_route("/health", methods=_METHODS, include_in_schema=False)
    async def health(response: Response) -> dict[str, Any]:
        """Checks the engine, and answers as the original design's health check did."""
        replica = source()
        # The engine of one that must be replaced may never answer.
        deep = await replica.check_deep() if replica is not None and replica.readiness().live else DeepHealth()
        found = readiness()
        response.status_code = 200 if found.ready and deep.state is not DeepState.UNHEALTHY else 503
        response.headers.update(_NO_STORE)
        return _original_form(deep, now=clock()) | {
            "queue_ms": deep.queue_duration * 1e3,
            "skipped_checks": deep.skipped_count,
            "ready": found.ready,
            "reasons": _names(found.blockers),
        }

    return router


def _original_form(deep: DeepHealth, *, now: float) -> dict[str, Any]:
    """Returns the members that the original design's check had, in its order; its latency is the engine's."""
    form: dict[str, Any] = {"status": deep.state.name.lower()}
    form |= {"error": deep.error} if deep.error else {"latency_ms": deep.engine_duration * 1e3}
    return form | {"last_check": deep.checked_at, "is_healthy": deep.is_healthy, "timestamp": now}


def _unavailable(title: str, blockers: tuple[Blocker, ...]) -> Problem:
    detail = "; ".join(blocker.value for blocker in blockers)
    return Problem(503, f"{detail.capitalize()}.", title=title, members={"reasons": _names(blockers)})


def _names(blockers: tuple[Blocker, ...]) -> list[str]:
    return [blocker.name for blocker in blockers]
