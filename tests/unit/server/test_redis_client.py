"""Laws of the clients of a Redis, with a real one: where the password comes from, and which connections are kept."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis
from redis.exceptions import AuthenticationError, ResponseError
from redis.exceptions import ConnectionError as RedisConnectionError

from server.redis_client import redis_client
from tests.support.redis_server import RedisServer, redis_server

PASSWORD = "the-first-secret"
LONG = 30.0

Connect = Callable[..., Redis]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """A Redis with a password."""
    with redis_server(tmp_path_factory.mktemp("redis"), "--requirepass", PASSWORD) as running:
        yield running


@pytest.fixture
def password_file(tmp_path: Path) -> Path:
    """A file as Kubernetes mounts it."""
    path = tmp_path / "redis-password"
    path.write_text(f"{PASSWORD}\n")
    return path


@pytest.fixture
async def connect(server: RedisServer, password_file: Path) -> AsyncIterator[Connect]:
    """Makes clients, with the password unless told otherwise, and closes them."""
    async with AsyncExitStack() as stack:

        def make(url: str = server.url, file: Path | None = password_file, *, most: int = 1) -> Redis:
            client = redis_client(url, password_file=file, max_connections=most)
            stack.push_async_callback(client.aclose)
            return client

        yield make


async def order(client: Redis, *command: str) -> Any:
    """Runs a command that the library has no name for, or no types."""
    return await client.execute_command(*command)  # type: ignore[no-untyped-call]


def write(path: Path, text: str) -> None:
    """Writes a file as an operator does, from elsewhere."""
    path.write_text(text)


async def test_the_file_opens_what_the_address_does_not(connect: Connect) -> None:
    """And nothing that the client says of itself holds the password."""
    with pytest.raises(AuthenticationError):
        await connect(file=None).ping()
    opened = connect()
    assert await opened.ping()
    assert PASSWORD not in repr(opened)


async def test_a_password_in_the_address_wins(connect: Connect, server: RedisServer, password_file: Path) -> None:
    """So one Redis of several may have one of its own."""
    write(password_file, "another")
    assert await connect(server.url.replace("redis://", f"redis://:{PASSWORD}@")).ping()


async def test_a_user_is_shown_with_the_password_of_the_file(
    connect: Connect, server: RedisServer, password_file: Path
) -> None:
    """A Redis that has users tells them apart."""
    await order(connect(), "ACL", "SETUSER", "reader", "on", ">another", "+ping", "+acl|whoami")
    write(password_file, "another")
    assert await order(connect(server.url.replace("redis://", "redis://reader@")), "ACL", "WHOAMI") == b"reader"


async def test_another_password_needs_no_restart(connect: Connect, password_file: Path) -> None:
    """The next connection shows what the file holds by then."""
    client, admin = connect(), connect()
    assert await client.ping()
    await order(admin, "CONFIG", "SET", "requirepass", "the-second-secret")
    try:
        await order(admin, "CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        write(password_file, "the-second-secret")
        assert await connect().ping()
        await until_it_answers(client)
    finally:
        await order(admin, "CONFIG", "SET", "requirepass", PASSWORD)


async def until_it_answers(client: Redis) -> None:
    """Asks until a connection that was broken has been noticed: nobody but a client's user decides to ask again."""
    async with asyncio.timeout(LONG):
        while True:
            try:
                assert await client.ping()
                return
            except RedisConnectionError:
                continue


@pytest.mark.parametrize("content", [None, b"", b"\n", b"\xff\xfe"])
async def test_a_file_that_says_nothing_is_named(connect: Connect, password_file: Path, content: bytes | None) -> None:
    """And once it says something, the same client works: no connection was kept that never showed a password."""
    await asyncio.to_thread(password_file.unlink)
    if content is not None:
        await asyncio.to_thread(password_file.write_bytes, content)
    client = connect()
    for _ in range(2):
        with pytest.raises(RedisConnectionError, match=r"redis_password_file .*redis-password"):
            await client.ping()
    write(password_file, PASSWORD)
    assert await client.ping()


async def test_a_connection_that_was_cancelled_half_way_is_not_used(
    connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever gives up while the file is read leaves no connection behind that showed no password."""
    reads, go_on = asyncio.Event(), asyncio.Event()
    in_thread = asyncio.to_thread

    async def slow(function: Callable[[], object]) -> object:
        reads.set()
        await go_on.wait()
        return await in_thread(function)

    monkeypatch.setattr(asyncio, "to_thread", slow)
    client = connect()
    asking = asyncio.ensure_future(order(client, "PING"))
    await reads.wait()
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    go_on.set()
    async with asyncio.timeout(LONG):
        assert await client.ping()


async def test_a_server_that_became_a_replica_is_left(connect: Connect) -> None:
    """A write at it breaks the connection, so that the next one goes wherever the name leads by then."""
    client, admin = connect(), connect()
    await client.set("k", "v")
    before = await client.client_id()
    await order(admin, "REPLICAOF", "127.0.0.1", "1")
    try:
        for command in (("SET", "k", "w"), ("EVAL", "return redis.call('SET', KEYS[1], 'w')", "1", "k")):
            with pytest.raises(RedisConnectionError, match="replica"):
                await order(client, *command)
        async with client.pipeline(transaction=False) as pipeline:
            pipeline.set("k", "w")
            with pytest.raises(RedisConnectionError, match="replica"):
                await pipeline.execute(raise_on_error=False)
        assert await client.client_id() != before
    finally:
        await order(admin, "REPLICAOF", "NO", "ONE")
    await client.set("k", "w")


async def test_other_refusals_keep_the_connection(connect: Connect) -> None:
    """A wrong type is the caller's affair."""
    client = connect()
    await client.set("text", "v")
    before = await client.client_id()
    with pytest.raises(ResponseError):
        await order(client, "HGET", "text", "field")
    assert await client.client_id() == before


async def test_who_finds_no_free_connection_waits(connect: Connect) -> None:
    """Many commands at once share few connections, and none fails."""
    client, admin = connect(most=2), connect()
    await order(admin, "CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
    async with asyncio.timeout(LONG):
        answers = await asyncio.gather(*(client.echo(str(number)) for number in range(50)))
    assert answers == [str(number).encode() for number in range(50)]
    assert len(await admin.client_list()) == 3


async def test_sentinels_that_are_not_there_are_told_without_the_password(connect: Connect) -> None:
    """The message names who was asked."""
    client = connect("redis+sentinel://u:0secret0@127.0.0.1:1,127.0.0.1:2/mymaster?sentinel_auth=true")
    with pytest.raises(RedisConnectionError, match="mymaster") as caught:
        await client.ping()
    for text in (str(caught.value), repr(caught.value), repr(client)):
        assert "0secret0" not in text
