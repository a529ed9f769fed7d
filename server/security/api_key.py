"""What an API key is: its id, its secret's digest, what it allows and until when. Pure; knows no file, no transport.

A key is shown once, as `tsk_<id>_<secret>`, and kept as the SHA-256 of its secret. No slow derivation is needed, as it
is for passwords: the secret is 256 random bits, which nobody guesses however fast he may try.
"""

from __future__ import annotations

import dataclasses
import hashlib
import re
import secrets
from collections.abc import Mapping

from server.grant import Grant

ID_PATTERN = r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}"
"""What an id may look like; what the TLS edge takes as an identity may be one."""
ALL_METHODS = "*"
EXPLICIT_METHODS = frozenset({"Halt", "Resume"})
"""What `*` does not open: whoever may stop the service, or let it go on, has been given that in so many words."""

# The secret has one length, so the last 43 characters are it, whatever the id contains.
_SECRET_BYTES = 32
_TOKEN = re.compile(rf"tsk_(?P<id>{ID_PATTERN})_(?P<secret>[A-Za-z0-9_-]{{43}})", re.ASCII)
_ID = re.compile(ID_PATTERN, re.ASCII)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ApiKey:
    """One key, without its secret.

    Attributes:
        sha256: Digest of the secret's text, 32 bytes.
        grant: The rights of whoever shows it; has the id.
        methods: Short names of the methods that it opens; `*` for all but `EXPLICIT_METHODS`.
        name: What it is for, in the operator's words.
        created_at: Seconds since the epoch.
        expires_at: Seconds since the epoch from which it opens nothing; None for never.
    """

    sha256: bytes
    grant: Grant
    methods: frozenset[str] = frozenset((ALL_METHODS,))
    name: str = ""
    created_at: float = 0.0
    expires_at: float | None = None

    @property
    def id(self) -> str:
        """The key's id."""
        return self.grant.key_id

    def allows(self, method: str) -> bool:
        """Tells whether it opens a method, by its short name."""
        if method in self.methods:
            return True
        return ALL_METHODS in self.methods and method not in EXPLICIT_METHODS

    def is_expired(self, now: float) -> bool:
        """Tells whether it has ceased to open anything.

        Args:
            now: Seconds since the epoch.
        """
        return self.expires_at is not None and now >= self.expires_at


Keys = Mapping[str, ApiKey]
"""Keys by id."""


def is_key_id(text: str) -> bool:
    """Tells whether a text can be a key's id."""
    return _ID.fullmatch(text) is not None


def new_secret() -> str:
    """Returns a new secret: 256 random bits, base64url, 43 characters."""
    return secrets.token_urlsafe(_SECRET_BYTES)


def token_of(key_id: str, secret: str) -> str:
    """Returns what a caller sends."""
    return f"tsk_{key_id}_{secret}"


def split_token(token: str) -> tuple[str, str]:
    """Returns the id and the secret of what a caller sent; empty texts where it cannot be a key."""
    match = _TOKEN.fullmatch(token)
    return (match["id"], match["secret"]) if match else ("", "")


def digest_of(secret: str) -> bytes:
    """Returns what is stored of a secret: the digest of its text, not of what that encodes.

    Two texts can encode the same bytes, and then a changed character would pass.
    """
    return hashlib.sha256(secret.encode()).digest()
