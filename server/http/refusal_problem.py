"""A refusal as a problem over HTTP: the same reason, the status that fits its gRPC code, the field as JSON names it."""

from __future__ import annotations

import math
import re
from typing import Any

import grpc

from server.http.json_body import BodyRefusal
from server.http.problem import Problem
from server.refusal import Refusal
from server.rpc.errors import CODES
from server.security.http_key import challenge_of

_Code = grpc.StatusCode
STATUSES: dict[grpc.StatusCode, int] = {
    _Code.INVALID_ARGUMENT: 400,
    _Code.UNAUTHENTICATED: 401,
    _Code.PERMISSION_DENIED: 403,
    _Code.NOT_FOUND: 404,
    _Code.FAILED_PRECONDITION: 409,
    _Code.ALREADY_EXISTS: 409,
    _Code.RESOURCE_EXHAUSTED: 429,
    _Code.INTERNAL: 500,
    _Code.UNIMPLEMENTED: 501,
    _Code.UNAVAILABLE: 503,
    _Code.DEADLINE_EXCEEDED: 504,
}
"""HTTP status by gRPC code; where HTTP itself has a word for it (408, 413, 415, 431) that is used instead."""


def problem_of(refusal: Refusal) -> Problem:
    """Returns how a refusal is told."""
    code = CODES[refusal.reason]
    status = refusal.status if isinstance(refusal, BodyRefusal) else STATUSES[code]
    members: dict[str, Any] = {"reason": refusal.reason.name, "code": code.name}
    headers = challenge_of(refusal.reason) if code is _Code.UNAUTHENTICATED else {}
    if refusal.field:
        members["field"] = json_path(refusal.field)
    if refusal.metadata:
        members["metadata"] = refusal.metadata
    if refusal.retry_delay is not None:
        members["retryDelay"] = f"{refusal.retry_delay:.3f}s"
        # In whole seconds, as HTTP has it; those who can wait for less read the member.
        headers["Retry-After"] = str(max(1, math.ceil(refusal.retry_delay)))
    return Problem(status, refusal.message, members=members, headers=headers)


def json_path(field: str) -> str:
    """Returns a field's path as the proto3 JSON mapping names it: `items[3].window.timeSteps`."""
    return re.sub(r"_([a-z0-9])", lambda match: match[1].upper(), field)
