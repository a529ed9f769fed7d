"""Laws of the mode: it follows the settings alone, and what would be open to a network is refused, with the remedy."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from server.config.metrics_settings import MetricsSettings
from server.config.security_settings import SecuritySettings, is_loopback
from server.config.settings import Settings

KEYS: dict[str, Any] = {"security": {"keys_file": "keys.json"}}
TLS: dict[str, Any] = {"tls": {"cert": "cert.pem", "key": "key.pem"}}
MUTUAL: dict[str, Any] = {"tls": {"cert": "cert.pem", "key": "key.pem", "client_ca": "ca.pem"}}
OPTIONAL: dict[str, Any] = {"tls": MUTUAL["tls"] | {"client_certificates": "optional"}}


@pytest.fixture(autouse=True)
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Reads no file of settings that happens to lie about."""
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    ("values", "required"),
    [
        ({}, False),
        ({"keys_file": "k"}, True),
        ({"keys_file": ""}, False),
        ({"mode": "keys", "keys_file": "k"}, True),
        ({"mode": "open", "keys_file": "k"}, False),
        ({"mode": "open"}, False),
    ],
)
def test_keys_are_asked_for_where_there_are_some(values: dict[str, Any], required: bool) -> None:
    """Unless the mode says otherwise in so many words."""
    assert SecuritySettings(**values).keys_required is required


def test_keys_cannot_be_asked_for_without_any() -> None:
    """Everybody would be refused."""
    with pytest.raises(ValidationError, match="tickserve keys add"):
        SecuritySettings(mode="keys")


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        *((host, True) for host in ("127.0.0.1", "127.8.8.8", "::1", "localhost")),
        *((host, False) for host in ("0.0.0.0", "::", "10.0.0.1", "192.0.2.7", "fe80::1", "my-host", "")),
    ],
)
def test_loopback_is_known_for_certain(host: str, expected: bool) -> None:
    """What a name stands for is decided elsewhere, and later."""
    assert is_loopback(host) is expected


@pytest.mark.parametrize("values", [{}, KEYS, TLS, OPTIONAL, {"security": {"mode": "open", "keys_file": "k"}} | TLS])
def test_a_public_bind_needs_tls_and_known_callers(values: dict[str, Any]) -> None:
    """Either alone is refused: keys as plain text, or strangers in private. On loopback each may be missing."""
    assert Settings(**values).host == "127.0.0.1"
    for host in ("0.0.0.0", "::", "10.1.2.3"):
        with pytest.raises(ValidationError, match="allow_insecure_public_bind"):
            Settings(**values, host=host)


@pytest.mark.parametrize("values", [KEYS | TLS, MUTUAL, KEYS | OPTIONAL])
def test_with_both_a_public_bind_is_taken(values: dict[str, Any]) -> None:
    """Certificates make callers known as well as keys do, where everyone must show one."""
    assert Settings(**values, host="0.0.0.0").host == "0.0.0.0"


def test_the_remedy_names_what_is_missing() -> None:
    """And nothing that is there."""
    with pytest.raises(ValidationError) as caught:
        Settings(host="0.0.0.0", **KEYS)
    assert ("tls.cert" in str(caught.value), "keys_file" in str(caught.value)) == (True, False)
    with pytest.raises(ValidationError) as caught:
        Settings(host="0.0.0.0", **TLS)
    assert ("nor by TLS" in str(caught.value), "keys_file" in str(caught.value)) == (False, True)


def test_one_setting_says_it_all_the_same() -> None:
    """In so many words."""
    assert Settings(host="0.0.0.0", security=SecuritySettings(allow_insecure_public_bind=True)).host == "0.0.0.0"


def test_a_public_scrape_port_needs_keys() -> None:
    """It cannot have TLS; switched off it needs nothing."""
    public = MetricsSettings(host="0.0.0.0")
    with pytest.raises(ValidationError, match=r"metrics\.host"):
        Settings(metrics=public)
    assert Settings(metrics=public, **KEYS).metrics == public
    for off in ({"port": 0}, {"enabled": False}):
        assert Settings(metrics=public.model_copy(update=off)).metrics.host == "0.0.0.0"


def test_reflection_is_open_on_loopback() -> None:
    """Or as the setting says."""
    public: dict[str, Any] = {"host": "0.0.0.0", **KEYS, **TLS}
    assert (Settings().reflection_is_open(), Settings(**public).reflection_is_open()) == (True, False)
    for said in (True, False):
        chosen = KEYS["security"] | {"open_reflection": said}
        assert Settings(**public | {"security": chosen}).reflection_is_open() is said
