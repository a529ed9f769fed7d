"""Sends items on a stream while its answers are taken."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Iterable, Iterator
from typing import Any

import grpc

from tickserve.errors import error_from_rpc
from tickserve.request import StreamItem
from tickserve.result import Result, read_result
from tickserve.v1.prediction_service_pb2 import StreamPredictRequest

__all__ = ("answer_items",)

Build = Callable[[StreamItem], StreamPredictRequest]


def answer_items(
    start: Callable[[Iterator[StreamPredictRequest]], Any], items: Iterable[StreamItem], build: Build
) -> Generator[tuple[str, Result], None, None]:
    """Yields each answer of the call that `start` makes, while gRPC takes the items in a thread of its own.

    gRPC would log what the items raise and tell the caller nothing but CANCELLED; here the caller gets to see it.
    """
    failures: list[Exception] = []
    started = threading.Event()

    def requests() -> Iterator[StreamPredictRequest]:
        try:
            for item in items:
                yield build(item)
        except Exception as error:  # any: it is raised again, in the caller's thread
            failures.append(error)
            started.wait()  # gRPC takes the first item before it hands out the call
            call.cancel()

    call = start(requests())
    started.set()
    try:
        for response in call:
            yield response.request_id, read_result(response)
    except grpc.RpcError as error:
        if failures:
            raise failures[0] from None
        raise error_from_rpc(error) from error
    finally:
        call.cancel()
    if failures:  # the service was quicker to end the stream than the cancellation
        raise failures[0]
