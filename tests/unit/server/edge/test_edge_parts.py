"""Laws of the edge's small parts: delays, descriptors, and what is read from the certificates' files."""

import resource
from pathlib import Path

import pytest

from server.config.settings import Settings
from server.config.tls_settings import TlsSettings
from server.edge.certificate_files import CertificateError, CertificateFiles
from server.edge.restart_delay import RestartDelay
from server.edge.runtime_api import RuntimeApi, RuntimeApiError
from server.edge.settings_edge import affordable_connections, edge_for, edge_plan, new_secret
from tests.support.certificates import Authority


def test_ends_in_a_row_are_waited_for_longer_and_longer() -> None:
    """At most ten seconds; a long run makes the next restart prompt again."""
    delay = RestartDelay()
    delays = [delay.after(0.0) for _ in range(12)]
    assert delays == sorted(delays)
    assert (delays[0], delays[-1]) == (0.1, 10.0)
    assert delay.after(30.0) == 0.1
    assert delay.after(0.0) == 0.2


@pytest.mark.parametrize(
    ("descriptors", "connections"), [(20_000, 9872), (256, 1), (resource.RLIM_INFINITY, 2**31 - 1)]
)
def test_connections_follow_the_descriptors(descriptors: int, connections: int) -> None:
    """Two a connection, and some beside; always at least one."""
    assert affordable_connections(descriptors) == connections


def test_secrets_differ() -> None:
    """256 bits each, in characters that a header may hold."""
    first, second = new_secret(), new_secret()
    assert first != second
    assert len(first) == 43
    assert first.replace("-", "").replace("_", "").isalnum()


def test_a_long_computation_is_no_silence() -> None:
    """The edge waits for the longest request that the service accepts."""
    tls = TlsSettings(cert=Path("c"), key=Path("k"), idle_timeout=5.0)
    assert edge_plan(Settings(tls=tls, max_timeout=300.0)).idle_timeout > 300.0
    assert edge_plan(Settings(tls=tls.model_copy(update={"idle_timeout": 900.0}))).idle_timeout == 900.0


def test_without_a_certificate_there_is_no_edge() -> None:
    """Nothing is made, not even a folder."""
    assert edge_for(Settings(), "secret") is None


def test_certificate_and_key_are_one_text(tmp_path: Path) -> None:
    """Without empty lines, which would end it on HAProxy's socket; and never shown."""
    pair = Authority(tmp_path).server()
    pair.cert.write_text(f"\n  \n{pair.cert.read_text()}\n\n")
    text = CertificateFiles(cert=pair.cert, key=pair.key).read()
    assert text.server.splitlines()[0] == "-----BEGIN CERTIFICATE-----"
    assert "PRIVATE KEY" in text.server
    assert "" not in text.server.splitlines()
    assert "PRIVATE" not in repr(text)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "cannot be read"),
        ("", "no PEM block"),
        ("-----BEGIN ENCRYPTED PRIVATE KEY-----\n", "passphrase"),
        ("\N{LATIN SMALL LETTER E WITH ACUTE}", "not a PEM file"),
        ("x" * (1024 * 1024 + 1), "larger"),
    ],
)
def test_a_file_that_cannot_be_used_is_named(tmp_path: Path, content: str | None, words: str) -> None:
    """With the setting, the path and the reason, but nothing of what is in it."""
    pair = Authority(tmp_path).server()
    if content is None:
        pair.key.unlink()
    else:
        pair.key.write_text(content)
    with pytest.raises(CertificateError, match=words) as caught:
        CertificateFiles(cert=pair.cert, key=pair.key).read()
    assert "tls.key" in str(caught.value)
    assert str(pair.key) in str(caught.value)


def test_a_change_of_a_file_is_seen(tmp_path: Path) -> None:
    """Rewritten, replaced behind a link, or gone: each is another state, and looking changes nothing."""
    authority = Authority(tmp_path)
    pair = authority.server("first")
    link = tmp_path / "link.pem"
    link.symlink_to(pair.cert)
    files = CertificateFiles(cert=link, key=pair.key, client_ca=authority.cert)
    seen = [files.fingerprint()]
    assert files.fingerprint() == seen[0]
    link.unlink()
    link.symlink_to(authority.server("second").cert)
    seen.append(files.fingerprint())
    pair.key.unlink()
    seen.append(files.fingerprint())
    assert len(set(seen)) == 3


def test_a_process_that_is_not_there_is_told(tmp_path: Path) -> None:
    """No socket, no answer; and it is not up."""
    api = RuntimeApi(tmp_path / "none.sock")
    assert not api.is_up()
    with pytest.raises(RuntimeApiError, match="does not answer"):
        api.command("show info")
