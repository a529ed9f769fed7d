"""Who may call what: the decision at the door, for gRPC and HTTP alike.

Owns the order of the questions: whether the call came by the TLS edge, which key it shows or its client certificate
stands for, whether that is valid and opens the method. Knows metadata as text by name; no gRPC, no HTTP, no protobuf.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Mapping
from typing import Final

from server.grant import Grant
from server.refusal import Reason, Refusal, model_loading
from server.security.api_key import ApiKey
from server.security.edge_identity import Metadata, identity_from, require_edge
from server.security.key_ring import KeyRing, KeyRingState
from server.security.refusal_tally import RefusalTally

AUTHORIZATION: Final = "authorization"
API_KEY: Final = "x-api-key"
# Reflection belongs to no method of the contract: any valid key opens it.
REFLECTION: Final = "reflection"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Admission:
    """Who was let in.

    Attributes:
        identity: The key's id, or what the client's certificate stands for; empty where nobody is asked.
        grant: The key's rights; None where keys are not asked for.
    """

    identity: str = ""
    grant: Grant | None = None

    @property
    def owner(self) -> str:
        """Whose windows are written and read."""
        return self.identity if self.grant is None else self.grant.owner


class Authorizer:
    """Lets calls in or refuses them. Refuses all until it is opened: who is not configured must not be an open door.

    Args:
        wall_clock: Seconds since the epoch; keys expire by it.
        tally: Counts refusals.
    """

    def __init__(self, *, wall_clock: Callable[[], float] = time.time, tally: RefusalTally | None = None) -> None:
        self._wall_clock = wall_clock
        self._tally = tally or RefusalTally()
        self._is_open = False
        self._ring: KeyRing | None = None
        self._edge_secret = ""
        self._reflection_is_open = False

    @property
    def refusals(self) -> Mapping[Reason, int]:
        """How many calls were refused here, by reason."""
        return self._tally.counts

    @property
    def key_state(self) -> KeyRingState | None:
        """How the keys stand; None where none are asked for."""
        return None if self._ring is None else self._ring.state

    def open(self, *, ring: KeyRing | None, edge_secret: str = "", reflection_is_open: bool = True) -> None:
        """Begins to let calls in.

        Args:
            ring: The keys, loaded; closed by `close`. None: nobody is asked for one.
            edge_secret: What the TLS edge adds to calls; empty where there is no edge.
            reflection_is_open: Whether reflection is served to who shows no key.
        """
        self._ring, self._edge_secret, self._reflection_is_open = ring, edge_secret, reflection_is_open
        self._is_open = True

    def close(self) -> None:
        """Lets nobody in any more. Blocks shortly. Idempotent."""
        self._is_open = False
        ring, self._ring = self._ring, None
        if ring is not None:
            ring.close()

    def admit(self, method: str, metadata: Metadata) -> Admission:
        """Lets a call in.

        Args:
            method: Short name of the contract's method, whose right the caller must have.
            metadata: The call's, by lower-case name.

        Raises:
            Refusal: EDGE_REQUIRED, API_KEY_MISSING, API_KEY_INVALID or METHOD_NOT_ALLOWED; MODEL_LOADING before it is
                opened.
        """
        self._require_edge(method, metadata)
        return self._admit(method, metadata)

    def admit_reflection(self, metadata: Metadata) -> None:
        """Lets a call of gRPC reflection in.

        Raises:
            Refusal: As `admit`.
        """
        self._require_edge(REFLECTION, metadata)
        if not self._reflection_is_open:
            self._admit(REFLECTION, metadata)

    def admit_beside_edge(self, method: str, metadata: Metadata) -> None:
        """Lets a call in that comes to a port which the edge does not stand in front of, such as the scrape port.

        Raises:
            Refusal: As `admit`, without EDGE_REQUIRED; who is not behind the edge cannot show a certificate either.
        """
        self._require_open(method)
        self._admit(method, metadata)

    def digest_of(self, key_id: str) -> bytes | None:
        """Returns what tells a key from another one of the same id; None: there is none, or none is asked for."""
        key = None if self._ring is None else self._ring.named(key_id)
        return None if key is None else key.sha256

    def objection(self, key_id: str, digest: bytes | None, method: str) -> Refusal | None:
        """Returns why somebody who was let in may not stay; None: he may.

        Args:
            key_id: Whose key it was.
            digest: What `digest_of` said then.
            method: What he calls.
        """
        if self._ring is None:
            return None
        key = self._ring.named(key_id)
        if key is None or key.sha256 != digest:
            return Refusal(Reason.API_KEY_INVALID, "This API key has been revoked; ask for another one.")
        return self._unfit(key, method)

    def _admit(self, method: str, metadata: Metadata) -> Admission:
        identity = identity_from(metadata, self._edge_secret)
        if self._ring is None:
            return Admission(identity=identity or "")
        key = self._key(self._ring, method, metadata, identity)
        refusal = self._unfit(key, method)
        if refusal is not None:
            self._tally.note(refusal, method=method, key_id=key.id)
            raise refusal
        return Admission(identity=key.id, grant=key.grant)

    def _unfit(self, key: ApiKey, method: str) -> Refusal | None:
        if key.is_expired(self._wall_clock()):
            return Refusal(Reason.API_KEY_INVALID, "This API key has expired; ask for another one.")
        if method != REFLECTION and not key.allows(method):
            message = f"This API key does not open {method}; ask for one that does."
            return Refusal(Reason.METHOD_NOT_ALLOWED, message, metadata={"method": method})
        return None

    def _key(self, ring: KeyRing, method: str, metadata: Metadata, identity: str | None) -> ApiKey:
        token = shown_token(metadata)
        if token is not None:
            # What is shown on purpose wins over the connection's certificate: a gateway may speak for several keys.
            key = ring.find(token)
            if key is None:
                raise self._refused(Reason.API_KEY_INVALID, "There is no such API key; check it for typos.", method)
            return key
        if identity is None:
            raise self._refused(
                Reason.API_KEY_MISSING,
                "Send an API key, as metadata `authorization: Bearer tsk_...` or `x-api-key: tsk_...`.",
                method,
            )
        key = ring.named(identity)
        if key is None:
            raise self._refused(
                Reason.API_KEY_INVALID,
                "The client certificate stands for no API key; add one of its common name, or map it to another.",
                method,
            )
        return key

    def _require_open(self, method: str) -> None:
        if not self._is_open:
            refusal = model_loading("The service")
            self._tally.note(refusal, method=method)
            raise refusal

    def _require_edge(self, method: str, metadata: Metadata) -> None:
        self._require_open(method)
        try:
            require_edge(metadata, self._edge_secret)
        except Refusal as refusal:
            self._tally.note(refusal, method=method)
            raise

    def _refused(self, reason: Reason, message: str, method: str) -> Refusal:
        refusal = Refusal(reason, message)
        self._tally.note(refusal, method=method)
        return refusal


def shown_token(metadata: Metadata) -> str | None:
    """Returns the key that a call shows, valid or not; None where it shows none."""
    scheme, _, credentials = _text(metadata.get(AUTHORIZATION)).partition(" ")
    if scheme.lower() == "bearer":
        return credentials.strip()
    key = metadata.get(API_KEY)
    return None if key is None else _text(key).strip()


def _text(value: str | bytes | None) -> str:
    return value if isinstance(value, str) else ""


process_authorizer = Authorizer()
"""Of this process. Ray Serve calls `ingress.add_services` itself, in the replica's process, and leaves no way to hand
anything over; in a process that is no replica, such as Ray Serve's fallback proxy, it stays closed."""
