"""Laws of the client's key: it goes with every call, and never as plain text beyond this machine."""

import grpc
import pytest

from tickserve import AsyncClient, Client
from tickserve.api_key import API_KEY_VARIABLE, is_local, metadata_with_key

KEY = "tsk_desk_" + "A" * 43
REMOTE = "prices.example:9000"
SENT = (("authorization", f"Bearer {KEY}"),)


@pytest.fixture(autouse=True)
def unset(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever runs the tests may have a key."""
    monkeypatch.delenv(API_KEY_VARIABLE, raising=False)


def sent(api_key: str | None, target: str = "localhost:9000", **given: object) -> tuple[tuple[str, str], ...]:
    """Returns what goes with each call."""
    return tuple(metadata_with_key((), api_key, target, given.get("credentials")))


def test_a_key_is_sent_as_a_bearer_token() -> None:
    """Beside what the client sends otherwise."""
    other = (("x-other", "1"),)
    assert tuple(metadata_with_key(other, KEY, "localhost:9000", None)) == other + SENT
    assert sent(None) == sent("") == ()


def test_the_variable_stands_in_for_the_argument(monkeypatch: pytest.MonkeyPatch) -> None:
    """Which wins, also if it is empty."""
    monkeypatch.setenv(API_KEY_VARIABLE, KEY)
    assert sent(None) == SENT
    assert sent("another") == (("authorization", "Bearer another"),)
    assert sent("") == ()


@pytest.mark.parametrize("name", ["authorization", "x-api-key", "X-API-Key"])
def test_metadata_of_ones_own_win(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """That is the way to send a key where something else encrypts."""
    monkeypatch.setenv(API_KEY_VARIABLE, KEY)
    own = ((name, "mine"),)
    assert metadata_with_key(own, None, REMOTE, None) == own


def test_no_key_crosses_a_network_as_plain_text(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither one that is given nor the variable's; the error does not show it. With TLS it is sent."""
    for client in (Client, AsyncClient):
        with pytest.raises(ValueError, match="plain text") as caught:
            client(REMOTE, api_key=KEY)
        assert KEY not in str(caught.value)
        client(REMOTE, api_key=KEY, tls=True)
        client(REMOTE, api_key=KEY, credentials=grpc.ssl_channel_credentials())
        client(REMOTE)
    monkeypatch.setenv(API_KEY_VARIABLE, KEY)
    with pytest.raises(ValueError, match="plain text"):
        Client(REMOTE)
    Client(REMOTE, api_key="")


@pytest.mark.parametrize("key", [KEY + "\n", f"Bearer {KEY}", "ключ", "a\tb"])
def test_what_cannot_be_a_key_is_said_at_once(key: str) -> None:
    """And not by gRPC in the middle of a call."""
    with pytest.raises(ValueError, match="copied"):
        sent(key)


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        *((target, True) for target in ("127.0.0.1:9000", "localhost:9000", "localhost", "[::1]:9000", "127.9.9.9:1")),
        *((target, True) for target in ("unix:/run/t.sock", "unix:///run/t.sock", "dns:///localhost:9000")),
        *((target, True) for target in ("ipv4:127.0.0.1:9000", "ipv6:[::1]:9000", "ipv6:%5B::1%5D:9000")),
        *(
            (target, True)
            for target in ("ipv4:127.0.0.1:1,127.0.0.2:1", "dns:localhost:9000", "passthrough:///localhost")
        ),
        *((target, False) for target in (REMOTE, "10.0.0.1:9000", "0.0.0.0:9000", "[::]:9000", "[fe80::1]:9000", "")),
        *((target, False) for target in (f"dns:///{REMOTE}", f"dns://127.0.0.1/{REMOTE}", "localhost.evil:9000")),
        *((target, False) for target in ("ipv4:127.0.0.1:1,10.0.0.1:1", "xds:///localhost", "vsock:2:9000")),
    ],
)
def test_only_what_is_certainly_here_is_local(target: str, expected: bool) -> None:
    """In doubt a target is far away."""
    assert is_local(target) is expected
