"""The TLS edge's settings: what contradicts itself is refused by name, and the inside moves to loopback."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from server.config.settings import Settings, SettingsError, load_settings
from server.config.tls_settings import TlsSettings

FILES = {"cert": Path("c.pem"), "key": Path("k.pem")}


def test_the_default_is_no_edge() -> None:
    """Nothing is asked for, and Ray Serve listens where the settings say."""
    assert not TlsSettings().enabled
    assert Settings(host="127.0.0.2").inner_host() == "127.0.0.2"


def test_behind_an_edge_everything_listens_on_loopback() -> None:
    """The public address is the edge's alone."""
    settings = Settings(host="0.0.0.0", tls=TlsSettings(cert=Path("c.pem"), key=Path("k.pem"), client_ca=Path("a.pem")))
    assert settings.inner_host() == "127.0.0.1"


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"cert": "c.pem"}, "key"),
        ({"key": "k.pem"}, "cert"),
        ({"client_ca": "ca.pem"}, "client_ca"),
        (FILES | {"client_identities": {"desk": "key"}}, "client_ca"),
        (FILES | {"client_ca": "a", "client_identities": {"two words": "key"}}, "client_identities"),
        (FILES | {"client_ca": "a", "client_identities": {"desk": "a\nb"}}, "client_identities"),
        (FILES | {"client_ca": "a", "client_certificates": "none"}, "client_certificates"),
        (FILES | {"grpc_port": 9443, "http_port": 9443}, "differ"),
        ({"max_connections": 0}, "max_connections"),
        ({"idle_timeout": 0.0}, "idle_timeout"),
        ({"cipher": "x"}, "cipher"),
    ],
)
def test_what_makes_no_sense_is_refused(values: dict[str, object], named: str) -> None:
    """The message names the setting."""
    with pytest.raises(ValidationError) as caught:
        TlsSettings.model_validate(values)
    assert any(named in error["msg"] or named in error["loc"] for error in caught.value.errors())


def test_the_edge_does_not_take_the_inner_ports() -> None:
    """On loopback both would listen at one address."""
    with pytest.raises(ValidationError, match="grpc_port"):
        Settings(tls=TlsSettings(cert=Path("c.pem"), key=Path("k.pem"), grpc_port=8000))


def test_empty_means_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """A manifest may set a variable and leave it empty."""
    monkeypatch.setenv("TICKSERVE_TLS__CERT", "")
    assert not load_settings().tls.enabled


def test_an_option_and_a_variable_meet(monkeypatch: pytest.MonkeyPatch) -> None:
    """The certificate of the command line and the key of the environment are one pair."""
    monkeypatch.setenv("TICKSERVE_TLS__KEY", "k.pem")
    assert load_settings(tls={"cert": Path("c.pem")}).tls.enabled
    with pytest.raises(SettingsError, match="client_identities"):
        load_settings(tls={"cert": Path("c.pem"), "client_identities": {"a": "b"}})


def test_the_secret_is_not_taken_for_a_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its variable shares the prefix; and no setting shows it."""
    monkeypatch.setenv("TICKSERVE_EDGE_SECRET", "a-secret-of-this-start")
    assert "a-secret-of-this-start" not in load_settings().model_dump_json()
