"""Certificates for tests: an authority of their own, and what it signs. Elliptic keys: they are made at once."""

import datetime
import ipaddress
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

_DAY = datetime.timedelta(days=1)


@dataclass(frozen=True)
class Pair:
    """A certificate and its key, in files and as PEM."""

    cert: Path
    key: Path

    @property
    def cert_pem(self) -> bytes:
        """The certificate."""
        return self.cert.read_bytes()

    @property
    def key_pem(self) -> bytes:
        """The key."""
        return self.key.read_bytes()

    @property
    def serial_number(self) -> int:
        """The certificate's number, by which two of one name differ."""
        return x509.load_pem_x509_certificate(self.cert_pem).serial_number


class Authority:
    """Signs certificates; its own lies in `ca.pem` of its folder.

    Args:
        folder: Where its files go.
        name: Its common name.
    """

    def __init__(self, folder: Path, name: str = "Test authority") -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _name(name)
        certificate = (
            _builder(self._name, self._name, self._key.public_key())
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .sign(self._key, hashes.SHA256())
        )
        self.cert = folder / "ca.pem"
        self.cert.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))

    @property
    def cert_pem(self) -> bytes:
        """The authority's certificate."""
        return self.cert.read_bytes()

    def server(self, file: str = "server", *, addresses: tuple[str, ...] = ("127.0.0.1",)) -> Pair:
        """Returns a certificate for `localhost` and some addresses."""
        names: list[x509.GeneralName] = [x509.DNSName("localhost")]
        names += [x509.IPAddress(ipaddress.ip_address(address)) for address in addresses]
        return self._sign(file, "localhost", ExtendedKeyUsageOID.SERVER_AUTH, x509.SubjectAlternativeName(names))

    def client(self, name: str, file: str = "") -> Pair:
        """Returns a client's certificate with a common name."""
        subject = x509.SubjectAlternativeName([x509.DNSName("client.test")])
        return self._sign(file or name, name, ExtendedKeyUsageOID.CLIENT_AUTH, subject)

    def _sign(self, file: str, name: str, use: x509.ObjectIdentifier, names: x509.SubjectAlternativeName) -> Pair:
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = (
            _builder(_name(name), self._name, key.public_key())
            .add_extension(names, critical=False)
            .add_extension(x509.ExtendedKeyUsage([use]), critical=False)
            .sign(self._key, hashes.SHA256())
        )
        pair = Pair(self._folder / f"{file}.pem", self._folder / f"{file}.key")
        pair.key.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        pair.cert.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        return pair


def _name(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _builder(subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _DAY)
        .not_valid_after(now + _DAY)
    )
