"""How a client connects: one place for the options of its channel."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import grpc

__all__ = ("DEFAULT_TARGET", "async_channel", "channel_options", "sync_channel")

DEFAULT_TARGET = "127.0.0.1:9000"
MAX_MESSAGE_BYTES = 16 * 1024 * 1024

_OPTIONS: dict[str, Any] = {
    "grpc.max_send_message_length": MAX_MESSAGE_BYTES,
    "grpc.max_receive_message_length": MAX_MESSAGE_BYTES,
    # A peer that vanished without a FIN is noticed while calls are open, within 40 s. Idle connections are left alone:
    # servers answer needless pings with GOAWAY.
    "grpc.keepalive_time_ms": 30_000,
    "grpc.keepalive_timeout_ms": 10_000,
    "grpc.keepalive_permit_without_calls": 0,
    # gRPC waits up to 120 s between attempts to connect; a replica is back long before that.
    "grpc.initial_reconnect_backoff_ms": 100,
    "grpc.max_reconnect_backoff_ms": 2_000,
    # Otherwise all clients of a process share one connection per target, and its back-off and stream limit with it.
    "grpc.use_local_subchannel_pool": 1,
}


def sync_channel(
    target: str, credentials: grpc.ChannelCredentials | None, options: list[tuple[str, Any]]
) -> grpc.Channel:
    """Makes a channel; plain text without credentials."""
    options = _with_authority(target, options)
    if credentials is None:
        return grpc.insecure_channel(target, options)
    return grpc.secure_channel(target, credentials, options)


def async_channel(
    target: str, credentials: grpc.ChannelCredentials | None, options: list[tuple[str, Any]]
) -> grpc.aio.Channel:
    """Makes a channel; it belongs to the event loop that runs now. Plain text without credentials."""
    options = _with_authority(target, options)
    if credentials is None:
        return grpc.aio.insecure_channel(target, options)
    return grpc.aio.secure_channel(target, credentials, options)


def channel_options(extra: Iterable[tuple[str, Any]] = ()) -> list[tuple[str, Any]]:
    """Gives gRPC's channel options; `extra` wins over ours."""
    return list({**_OPTIONS, **dict(extra)}.items())


def _with_authority(target: str, options: list[tuple[str, Any]]) -> list[tuple[str, Any]]:
    """Returns the options with a name for a target of several addresses, unless they have one.

    gRPC would name the service by the whole list, which is no authority that HTTP knows: proxies reset such calls
    (HAProxy: RST_STREAM, PROTOCOL_ERROR).
    """
    scheme, _, addresses = target.partition(":")
    first, comma, _ = addresses.lstrip("/").partition(",")
    if scheme not in ("ipv4", "ipv6") or not comma:
        return options
    return [*options, ("grpc.default_authority", first)]  # of several gRPC takes the first: a caller's own wins
