"""Laws of a Redis's address: each form is understood, what is none is refused, and no message repeats a password."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.redis_url import RedisPlace, parse_redis_url


@pytest.mark.parametrize(
    "url", ["redis://h:6379/0", "rediss://u@h/1?ssl_ca_certs=/ca.pem", "unix:///run/redis.sock", "redis://[::1]:1/0"]
)
def test_one_server_is_named_as_the_client_library_names_it(url: str) -> None:
    """Unchanged, and without Sentinels."""
    place = parse_redis_url(url)
    assert (place.url, place.sentinels, place.has_password) == (url, (), False)


@pytest.mark.parametrize(
    ("url", "place"),
    [
        (
            "redis+sentinel://a:26379,b:26380/mymaster/3",
            RedisPlace(url="redis://a:26379/3", sentinels=(("a", 26379), ("b", 26380)), service="mymaster"),
        ),
        (
            "redis+sentinel://a/mymaster",
            RedisPlace(url="redis://a:26379/0", sentinels=(("a", 26379),), service="mymaster"),
        ),
        (
            "redis+sentinel://a/mymaster/",
            RedisPlace(url="redis://a:26379/0", sentinels=(("a", 26379),), service="mymaster"),
        ),
        (
            "rediss+sentinel://u:p%40ss@[::1]:7,b/m/1?ssl_ca_certs=%2Fca.pem&sentinel_auth=true",
            RedisPlace(
                url="rediss://u:p%40ss@[::1]:7/1?ssl_ca_certs=%2Fca.pem",
                sentinels=(("::1", 7), ("b", 26379)),
                service="m",
                sentinel_auth=True,
                user="u",
                has_password=True,
            ),
        ),
        (
            "redis+sentinel://u@a/m?sentinel_auth=false",
            RedisPlace(url="redis://u@a:26379/0", sentinels=(("a", 26379),), service="m", user="u"),
        ),
    ],
)
def test_sentinels_are_understood(url: str, place: RedisPlace) -> None:
    """Hosts, ports, service, database, user and options."""
    assert parse_redis_url(url) == place


@pytest.mark.parametrize(
    "url",
    [
        "http://u:secret@h",
        "redis:/h",
        "redis://",
        "redis:// h",
        "h:6379",
        "sentinel://u:secret@h/m",
        "redis+sentinel://u:secret@h:26379",
        "redis+sentinel://u:secret@h:26379/",
        "redis+sentinel://u:secret@h:26379/m/zero",
        "redis+sentinel://u:secret@h:26379/m/0/1",
        "redis+sentinel://u:secret@h:99999/m",
        "redis+sentinel://u:secret@h:0/m",
        "redis+sentinel://u:secret@h:26379,,i/m",
        "redis+sentinel://u:secret@/m",
        "redis+sentinel://u:secret@h/m?sentinel_auth=maybe",
    ],
)
def test_what_has_none_of_the_forms_is_refused(url: str) -> None:
    """In words that say what to write, and hold nothing of what was written."""
    with pytest.raises(ValueError, match=r"redis|true or false") as caught:
        parse_redis_url(url)
    assert "secret" not in str(caught.value)


@given(
    hosts=st.lists(st.from_regex(r"[a-z][a-z0-9.-]{0,20}", fullmatch=True), min_size=1, max_size=5),
    port=st.integers(1, 65535),
    service=st.from_regex(r"[A-Za-z0-9_.-]{1,20}", fullmatch=True),
    database=st.integers(0, 99),
)
def test_what_is_written_is_what_is_read(hosts: list[str], port: int, service: str, database: int) -> None:
    """Any hosts, in their order; and a password shows nowhere but in the address for the library."""
    places = ",".join(f"{host}:{port}" for host in hosts)
    place = parse_redis_url(f"redis+sentinel://u:0secret0@{places}/{service}/{database}")
    assert place.sentinels == tuple((host, port) for host in hosts)
    assert (place.service, place.user, place.has_password) == (service, "u", True)
    assert place.url == f"redis://u:0secret0@{hosts[0]}:{port}/{database}"
    assert "0secret0" not in repr(place)
