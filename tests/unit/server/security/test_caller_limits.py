"""Laws of who is held to which limit: the key's own, else the default, else none; and of streams and metadata."""

import pytest

from batching import PriorityClass
from server.call import Call
from server.config.limit_settings import LimitSettings
from server.grant import Grant, RateLimit
from server.refusal import Reason, Refusal
from server.security.caller_limits import CallerLimits, caller_of
from server.security.metadata_limit import MetadataLimit

REAL_TIME, STANDARD = PriorityClass.REAL_TIME, PriorityClass.STANDARD
OWN = {REAL_TIME: RateLimit(rate=1, burst=3)}


def call(grant: Grant | None = None, **fields: str) -> Call:
    """Returns a call of a key's, or of nobody's."""
    return Call(method="/m", received_at=0.0, grant=grant, **fields)  # type: ignore[arg-type]


def limits_with(**settings: float) -> CallerLimits:
    """Returns limits on a clock that stands."""
    values = LimitSettings(**settings)  # type: ignore[arg-type]
    return CallerLimits(lambda: values, clock=lambda: 50.0)


def refused(limits: CallerLimits, of: Call, priority: PriorityClass) -> Refusal:
    """Returns the refusal of one request."""
    with pytest.raises(Refusal) as refusal:
        limits.admit(of, priority)
    return refusal.value


def test_nobody_is_limited_by_default() -> None:
    """Without limits nothing is counted."""
    limits = limits_with()
    assert limits.admit(call(), STANDARD, cost=10_000) == 10_000
    with limits.stream(call()), limits.stream(call()):
        assert not limits.is_used


def test_a_keys_own_limit_wins_over_the_default() -> None:
    """Class by class: the one that the key says nothing of has the default."""
    limits, key = limits_with(default_rate=10, default_burst=2), call(Grant(key_id="k", owner="k", rate_limits=OWN))
    assert limits.admit(key, REAL_TIME, cost=5) == 3
    assert limits.admit(key, STANDARD, cost=5) == 2


def test_a_refusal_names_limit_and_time() -> None:
    """RATE_LIMITED with the exact delay, and the limit for programs to read."""
    limits, key = limits_with(), call(Grant(key_id="k", owner="k", rate_limits=OWN))
    assert limits.admit(key, REAL_TIME, cost=3) == 3
    refusal = refused(limits, key, REAL_TIME)
    assert refusal.reason is Reason.RATE_LIMITED
    assert refusal.retry_delay == pytest.approx(1.0)
    assert refusal.metadata == {"what": "requests", "class": "REAL_TIME", "rate": "1", "burst": "3"}


def test_callers_do_not_share_but_strangers_do() -> None:
    """A key has its own bucket; who shows none is one with all others, whatever name he gives himself."""
    limits = limits_with(default_rate=1)
    for key_id in ("a", "b"):
        assert limits.admit(call(Grant(key_id=key_id, owner="same")), STANDARD) == 1
    assert limits.admit(call(caller="x", routing_key="x"), STANDARD) == 1
    refused(limits, call(caller="y", routing_key="y"), STANDARD)
    # A client certificate without keys is an identity, too.
    assert limits.admit(call(owner="certified"), STANDARD) == 1
    assert caller_of(call(owner="certified")) == "certified"


def test_the_default_burst_is_one_second() -> None:
    """And one request at least: a rate below one a second admits something."""
    assert LimitSettings().default_limit() is None
    assert LimitSettings(default_rate=7).default_limit() == RateLimit(rate=7, burst=7)
    assert LimitSettings(default_rate=0.1).default_limit() == RateLimit(rate=0.1, burst=1)
    assert LimitSettings(default_rate=7, default_burst=20).default_limit() == RateLimit(rate=7, burst=20)


@pytest.mark.parametrize(
    ("own", "default", "replicas", "share"), [(2, 0, 1, 2), (0, 3, 1, 3), (5, 3, 2, 3), (1, 0, 4, 1)]
)
def test_streams_at_the_limit_and_one_more(own: int, default: int, replicas: int, share: int) -> None:
    """The replica's share, rounded up; one that is closed makes room."""
    limits, key = limits_with(max_streams_per_key=default), call(Grant(key_id="k", owner="k", max_streams=own))
    limits.note_replicas(replicas)
    held = [limits.stream(key) for _ in range(share)]
    for stream in held:
        stream.__enter__()
    with pytest.raises(Refusal) as refusal, limits.stream(key):
        pytest.fail("one too many")
    assert refusal.value.reason is Reason.RATE_LIMITED
    assert refusal.value.retry_delay is not None
    assert refusal.value.metadata == {"what": "streams", "limit": str(own or default), "share": str(share)}
    with limits.stream(call(Grant(key_id="other", owner="k", max_streams=own))):
        pass
    held[0].__exit__(None, None, None)
    with limits.stream(key):
        assert limits.is_used


def entries(count: int, size: int) -> list[tuple[str, str]]:
    """Returns metadata of so many entries and, as HTTP/2 counts them, so many bytes."""
    assert size >= 33 * count
    return [("k", "v" * (size - 33 * count)), *[("k", "")] * (count - 1)]


@pytest.mark.parametrize(
    ("fits", "is_too_much"),
    [
        (entries(10, 2048), entries(10, 2049)),
        (entries(16, 1000), entries(17, 1000)),
        ([("x-tickserve-routing-key", "k" * 256)], [("x-tickserve-routing-key", "k" * 257)]),
    ],
)
def test_metadata_at_the_limit_and_one_more(fits: list[tuple[str, str]], is_too_much: list[tuple[str, str]]) -> None:
    """Bytes, entries and the routing key's length; what fits passes."""
    settings = LimitSettings(max_metadata_bytes=2048, max_metadata_entries=16)
    limit = MetadataLimit(lambda: settings)
    limit.check(fits)
    with pytest.raises(Refusal) as refusal:
        limit.check(is_too_much)
    assert refusal.value.reason is Reason.LIMIT_EXCEEDED
    have, most = (int(refusal.value.metadata[name]) for name in ("have", "limit"))
    assert have == most + 1
