"""Laws of finding this process's own listeners: all that loopback reaches, and nobody else's."""

import multiprocessing
import os
import socket
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from server.health.own_listeners import Listener, ListenersUnknownError, own_listeners, parse_table

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")

HEAD = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"


def word(packed: bytes) -> str:
    """Returns an address as the kernel prints it on this machine."""
    return "".join(f"{int.from_bytes(packed[at : at + 4], sys.byteorder):08X}" for at in range(0, len(packed), 4))


def line(address: str, *, port: int = 40000, state: str = "0A", inode: int = 7) -> str:
    """Returns a line of the kernel's table."""
    return (
        f"   0: {word(pack(address))}:{port:04X} 00000000:0000 {state} 00000000:00000000 00:00000000 0 0 0 {inode} 1\n"
    )


def pack(address: str) -> bytes:
    """Returns an address in network order."""
    return socket.inet_pton(socket.AF_INET6 if ":" in address else socket.AF_INET, address)


@pytest.mark.parametrize(
    ("address", "target", "is_wildcard"),
    [
        ("0.0.0.0", "ipv4:127.0.0.1:40000", True),
        ("127.0.0.1", "ipv4:127.0.0.1:40000", False),
        ("127.1.2.3", "ipv4:127.1.2.3:40000", False),
        ("::", "ipv4:127.0.0.1:40000", True),
        ("::1", "ipv6:[::1]:40000", False),
        ("::ffff:127.0.0.1", "ipv4:127.0.0.1:40000", False),
    ],
)
def test_what_loopback_reaches_is_found(address: str, target: str, is_wildcard: bool) -> None:
    """Each kind of address is reached at the right one."""
    [listener] = parse_table(HEAD + line(address), is_ipv6=":" in address)
    assert listener.target == target
    assert (listener.is_wildcard, listener.is_ipv6, listener.inode) == (is_wildcard, ":" in address, 7)


@pytest.mark.parametrize(
    "text",
    [
        HEAD,
        "",
        HEAD + line("10.0.0.1"),
        HEAD + line("fe80::1"),
        HEAD + line("::ffff:10.0.0.1"),
        HEAD + line("127.0.0.1", state="01"),
        HEAD + "garbage\n\n   0: zz:zz zz 0A\n   0: 0100007F 0 0A\n",
    ],
    ids=["none", "empty", "outer-4", "outer-6", "outer-mapped", "connected", "garbage"],
)
def test_what_loopback_does_not_reach_is_passed_over(text: str) -> None:
    """Other addresses, connections, and lines that nobody understands."""
    assert list(parse_table(text, is_ipv6=False)) == []


@pytest.fixture
def sockets() -> Iterator[list[socket.socket]]:
    """Four listeners of this process."""
    with ExitStack() as stack:
        made = [
            socket.create_server(("127.0.0.1", 0)),
            socket.create_server(("0.0.0.0", 0)),
        ]
        if socket.has_dualstack_ipv6():
            made.append(socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True))
        for each in made:
            stack.enter_context(each)
        yield made


def test_own_listeners_are_found_and_reached(sockets: list[socket.socket]) -> None:
    """Each of them is found under its inode, and a connection to its address arrives."""
    found = {listener.inode: listener for listener in own_listeners()}
    for server in sockets:
        listener = found[os.fstat(server.fileno()).st_ino]
        assert listener.port == server.getsockname()[1]
        with socket.create_connection((listener.host, listener.port), timeout=10):
            accepted, _ = server.accept()
            accepted.close()


def test_a_closed_listener_is_found_no_more() -> None:
    """The next look tells of what there is then."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        inode = os.fstat(server.fileno()).st_ino
        assert inode in {listener.inode for listener in own_listeners()}
    assert inode not in {listener.inode for listener in own_listeners()}


def test_listeners_of_other_processes_are_not_ours() -> None:
    """The kernel's table has everybody's; a child sees none of its parent's that it did not inherit."""
    with socket.create_server(("127.0.0.1", 0)):
        context = multiprocessing.get_context("spawn")
        with context.Pool(1) as pool:
            assert [each.port for each in pool.apply(own_listeners)] == []
        assert own_listeners() != []


def test_a_system_without_the_table_says_so(tmp_path: Path) -> None:
    """Where there is no /proc, that is told and not taken for no listeners."""
    with pytest.raises(ListenersUnknownError, match="not there"):
        own_listeners(tmp_path)


def test_a_kernel_without_ipv6_is_fine(tmp_path: Path) -> None:
    """A missing table of IPv6 sockets means that there are none."""
    (tmp_path / "fd").mkdir()
    (tmp_path / "fd/3").symlink_to("socket:[7]")
    (tmp_path / "fd/4").symlink_to("/dev/null")
    (tmp_path / "net").mkdir()
    (tmp_path / "net/tcp").write_text(HEAD + line("127.0.0.1") + line("127.0.0.1", port=1, inode=8))
    assert own_listeners(tmp_path) == [
        Listener(inode=7, host="127.0.0.1", port=40000, is_wildcard=False, is_ipv6=False)
    ]
