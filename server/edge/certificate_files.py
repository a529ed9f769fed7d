"""The certificates' files: what is in them now, as HAProxy takes it, and whether they have changed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

_LARGEST = 1024 * 1024


class CertificateError(Exception):
    """A file cannot be read, or does not hold what it should. The message names it and the remedy."""


@dataclass(frozen=True, kw_only=True)
class CertificateText:
    """What the files hold.

    Attributes:
        server: The certificate, its chain and its key, PEM.
        client_ca: The clients' authorities, PEM; empty where no client is asked for a certificate.
    """

    server: str
    client_ca: str = ""

    def __repr__(self) -> str:
        return "CertificateText(...)"  # the key is in it


@dataclass(frozen=True, kw_only=True)
class CertificateFiles:
    """Where the certificates lie.

    Attributes:
        cert: The server's certificate and chain.
        key: Its key.
        client_ca: The clients' authorities, or None.
    """

    cert: Path
    key: Path
    client_ca: Path | None = None

    def read(self) -> CertificateText:
        """Returns what the files hold now.

        Raises:
            CertificateError: One is missing, too large, or has no such part.
        """
        cert = _read(self.cert, "CERTIFICATE", "tls.cert")
        key = _read(self.key, "PRIVATE KEY", "tls.key")
        client_ca = "" if self.client_ca is None else _read(self.client_ca, "CERTIFICATE", "tls.client_ca")
        return CertificateText(server=cert + key, client_ca=client_ca)

    def fingerprint(self) -> tuple[tuple[int, int, int], ...]:
        """Returns what changes whenever a file is replaced or written; a missing one counts as a state of its own.

        Links are followed, so a Kubernetes secret, whose folder is swapped behind a link, is seen.
        """
        return tuple(_state(path) for path in (self.cert, self.key, self.client_ca) if path is not None)


def _state(path: Path) -> tuple[int, int, int]:
    try:
        state = path.stat()
    except OSError:
        return (0, 0, 0)
    return (state.st_ino, state.st_mtime_ns, state.st_size)


def _read(path: Path, part: str, setting: str) -> str:
    try:
        if path.stat().st_size > _LARGEST:
            raise CertificateError(f"{setting}: {path} is larger than any PEM file of certificates")
        text = path.read_text(encoding="ascii")
    except OSError as error:
        raise CertificateError(f"{setting}: {path} cannot be read ({error.strerror}); correct the path") from None
    except UnicodeDecodeError:
        raise CertificateError(f"{setting}: {path} is not a PEM file; convert it with openssl") from None
    if "ENCRYPTED" in text:
        raise CertificateError(f"{setting}: {path} needs a passphrase, which nobody could type; store it without one")
    if f"{part}-----" not in text:
        raise CertificateError(f"{setting}: {path} has no PEM block {part}")
    # An empty line would end the text on HAProxy's socket, and means nothing in PEM.
    return "".join(f"{line}\n" for line in map(str.strip, text.splitlines()) if line)
