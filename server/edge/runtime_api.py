"""HAProxy's runtime API: orders to the running process over its own socket, which only its user may open.

Owns the wire form (the HAProxy 2.8 management guide, section 9.3) and what counts as refused.
"""

from __future__ import annotations

import socket
from pathlib import Path

_TIMEOUT = 5.0
_LARGEST_ANSWER = 1024 * 1024


class RuntimeApiError(Exception):
    """HAProxy is not there, or refused an order. The message has its words."""


class RuntimeApi:
    """Speaks to one HAProxy.

    Args:
        path: Its socket.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def command(self, command: str, payload: str = "") -> str:
        """Returns HAProxy's answer to one order.

        Args:
            command: The order.
            payload: Lines that go with it; none of them empty.

        Raises:
            RuntimeApiError: It does not answer.
        """
        order = f"{command} <<\n{payload.rstrip()}\n\n" if payload else f"{command}\n"
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
                connection.settimeout(_TIMEOUT)
                connection.connect(str(self._path))
                connection.sendall(order.encode())
                answer = b""
                while (piece := connection.recv(65536)) and len(answer) < _LARGEST_ANSWER:
                    answer += piece
        except OSError as error:
            raise RuntimeApiError(f"HAProxy does not answer on {self._path}: {error}") from error
        return answer.decode(errors="replace").strip()

    def is_up(self) -> bool:
        """Tells whether the process listens: it opens its ports before it answers here."""
        try:
            return "Name: HAProxy" in self.command("show info")
        except RuntimeApiError:
            return False

    def replace_certificate(self, file: Path, text: str) -> None:
        """Puts a certificate in force for connections to come; those that are open keep theirs.

        Args:
            file: The file's name in the configuration.
            text: Certificate, chain and key, PEM without empty lines.

        Raises:
            RuntimeApiError: They do not fit each other, or HAProxy is not there; the former one stays.
        """
        self._transaction("cert", file, text)

    def replace_client_ca(self, file: Path, text: str) -> None:
        """Puts the clients' authorities in force for connections to come.

        Raises:
            RuntimeApiError: The text is not one of certificates, or HAProxy is not there; the former ones stay.
        """
        self._transaction("ca-file", file, text)

    def _transaction(self, kind: str, file: Path, text: str) -> None:
        answer = self.command(f"set ssl {kind} {file}", text)
        if "transaction" not in answer.lower():
            # A transaction that was begun and not committed would block the next one.
            self.command(f"abort ssl {kind} {file}")
            raise RuntimeApiError(answer or "HAProxy refused it without a word")
        answer = self.command(f"commit ssl {kind} {file}")
        if "success" not in answer.lower():
            self.command(f"abort ssl {kind} {file}")
            raise RuntimeApiError(answer or "HAProxy did not put it in force")
