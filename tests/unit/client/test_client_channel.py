"""A channel to a service with several addresses has a name that proxies take; all others keep gRPC's own."""

from typing import Any
from unittest import mock

import grpc
import pytest

from tickserve import channel


def options_of(target: str, *given: tuple[str, Any]) -> list[tuple[str, Any]]:
    """Returns the options that gRPC is given for a plain-text channel; both kinds of channel get the same."""
    with (
        mock.patch.object(grpc, "insecure_channel") as sync,
        mock.patch.object(grpc.aio, "insecure_channel") as concurrent,
    ):
        channel.sync_channel(target, None, list(given))
        channel.async_channel(target, None, list(given))
    assert sync.call_args == concurrent.call_args
    found: list[tuple[str, Any]] = sync.call_args.args[1]
    return found


@pytest.mark.parametrize(
    ("target", "authority"),
    [
        ("ipv4:10.0.0.1:9000,10.0.0.2:9000", "10.0.0.1:9000"),
        ("ipv4:///10.0.0.1:9000,10.0.0.2:9001,10.0.0.3:9000", "10.0.0.1:9000"),
        ("ipv6:[fd00::1]:9000,[fd00::2]:9000", "[fd00::1]:9000"),
    ],
)
def test_several_addresses_are_named_by_the_first(target: str, authority: str) -> None:
    """A list with commas is no authority; HAProxy resets every call that has one."""
    assert ("grpc.default_authority", authority) in options_of(target)


@pytest.mark.parametrize(
    "target", ["127.0.0.1:9000", "ipv4:127.0.0.1:9000", "dns:///host:9000", "unix:/run/a,b", "unix-abstract:a,b"]
)
def test_one_address_keeps_grpcs_name(target: str) -> None:
    """Nothing is said of it."""
    assert options_of(target) == []


def test_a_callers_own_name_wins() -> None:
    """The first of several is the one that gRPC takes."""
    own = ("grpc.default_authority", "market.internal")
    assert options_of("ipv4:10.0.0.1:9000,10.0.0.2:9000", own)[0] == own
