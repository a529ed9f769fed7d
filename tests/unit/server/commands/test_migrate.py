"""Laws of `tickserve migrate`: what it orders the split, what it refuses, and how it judges."""

import json
import socketserver
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from typer.testing import CliRunner

from server.commands.migrate import app
from server.edge.haproxy_config import SOCKET_FILE
from server.migration import report_file
from server.migration.agreement import Agreement
from server.migration.original_answers import Difference
from server.migration.split import Shares, from_map
from server.migration.split_config import MAP_FILE
from server.migration.split_control import SplitControl

STATISTICS = (
    "# pxname,svname,scur,status,check_status,check_code,hrsp_2xx,hrsp_3xx,hrsp_4xx,hrsp_5xx,ttime\n"
    "callers,FRONTEND,1,OPEN,,,9,0,0,0,\n"
    "new,new,2,{state},L7OK,200,5,0,1,0,12\n"
    "new,BACKEND,2,UP,,,5,0,0,0,12\n"
    "old,old,0,UP,L7OK,200,4,0,0,0,30\n"
)


class Outcome(NamedTuple):
    """What a run left behind."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """Its output, read as JSON."""
        return json.loads(self.out)


class FakeHaproxy(socketserver.ThreadingUnixStreamServer):
    """Answers on a socket as HAProxy's runtime API does.

    Attributes:
        rows: Of its map.
        state: Of the new service.
        orders: That it was given.
    """

    daemon_threads = True

    def __init__(self, path: Path) -> None:
        self.rows = {"split": "0", "sample": "0"}
        self.state = "UP"
        self.orders: list[str] = []
        super().__init__(str(path), _Handler)

    def answer(self, order: str) -> str:
        """Returns what HAProxy would say."""
        self.orders.append(order)
        match order.split():
            case ["show", "map", _]:
                return "".join(f"0x1 {name} {value}\n" for name, value in self.rows.items())
            case ["set", "map", _, name, value]:
                self.rows[name] = value
                return "\n"
            case ["show", "stat"]:
                return STATISTICS.format(state=self.state)
        return "Unknown command\n"


class _Handler(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        assert isinstance(self.server, FakeHaproxy)
        self.wfile.write(self.server.answer(self.rfile.readline().decode().strip()).encode())


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The split's folder, which the environment names."""
    monkeypatch.setenv("TICKSERVE_MIGRATION_FOLDER", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def haproxy(folder: Path) -> Iterator[FakeHaproxy]:
    """A split that runs."""
    with FakeHaproxy(folder / SOCKET_FILE) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def run(*arguments: str) -> Outcome:
    """Runs the command."""
    result = CliRunner().invoke(app, arguments)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return Outcome(result.exit_code, result.stdout, result.stderr)


def test_a_split_is_put_in_force_and_kept(haproxy: FakeHaproxy, folder: Path) -> None:
    """In the process and in the file; what was before is told, and the sample stays."""
    assert run("sample", "7.5").code == 0
    done = run("split", "20", "--json")
    assert (done.code, haproxy.rows) == (0, {"split": "2000", "sample": "750"})
    assert done.json == {
        "percent": 20.0,
        "sample_percent": 7.5,
        "former": {"percent": 0.0, "sample_percent": 7.5},
    }
    assert from_map((folder / MAP_FILE).read_text()) == Shares(split=2000, sample=750)


def test_callers_are_not_moved_to_a_service_that_is_not_well(haproxy: FakeHaproxy) -> None:
    """Unless it is forced; away from it they are always moved."""
    haproxy.state = "DOWN"
    refused = run("split", "20")
    assert (refused.code, haproxy.rows["split"]) == (1, "0")
    assert "nothing was changed" in refused.err
    assert run("split", "20", "--force").code == 0
    assert run("split", "10").code == 0
    assert haproxy.rows["split"] == "1000"


def test_a_rollback_asks_nothing(haproxy: FakeHaproxy) -> None:
    """Neither how the new service is, nor what the process decides by: it gives two orders, and that is all."""
    SplitControl(Path()).store(Shares(split=5000, sample=300))
    haproxy.state = "DOWN"
    done = run("rollback")
    assert done.code == 0
    assert "new service: 0 % (was 50 %)" in done.out
    assert haproxy.rows == {"split": "0", "sample": "300"}
    assert all(order.startswith("set map") for order in haproxy.orders)


@pytest.mark.parametrize("content", ["split 5000\n", "nonsense\n", ""])
def test_a_rollback_without_a_process_holds_for_the_next_start(folder: Path, content: str) -> None:
    """Whatever the file held; the command says that nobody answered."""
    (folder / MAP_FILE).write_text(content)
    done = run("rollback")
    assert (done.code, "migrate edge" in done.err) == (1, True)
    assert from_map((folder / MAP_FILE).read_text()).split == 0


@pytest.mark.parametrize("arguments", [("split", "20"), ("sample", "1"), ("status",)])
def test_without_a_split_there_is_nothing_to_change(arguments: tuple[str, ...], folder: Path) -> None:
    """Exit code 1, what to start, and no file that the next start would begin with."""
    done = run(*arguments)
    assert (done.code, "migrate edge" in done.err) == (1, True)
    assert not (folder / MAP_FILE).exists()


def test_the_status_tells_shares_and_sides(haproxy: FakeHaproxy) -> None:
    """For people and for programs; totals of HAProxy's own are left out."""
    haproxy.rows = {"split": "2000", "sample": "0"}
    assert "20 % of the callers" in run("status").out
    told = run("status", "--json").json
    assert told["percent"] == 20.0
    assert [(side["backend"], side["server"]) for side in told["sides"]] == [("new", "new"), ("old", "old")]
    assert told["sides"][0]["answered"] == {"2xx": 5, "3xx": 0, "4xx": 1, "5xx": 0}


@pytest.mark.parametrize(
    "arguments",
    [
        ("split", "101"),
        ("split", "many"),
        ("sample", "0.001"),
        ("config", "--old", "nowhere"),
        ("config", "--new", "host:0"),
        ("config", "--listen", "host:70000"),
        ("config", "--old-check", "health"),
        ("config", "--folder", "with space"),
        ("edge", "--mirror", "a b:1"),
        ("compare", "missing.npy"),
        ("compare", "flat.npy"),
        ("verdict",),
    ],
)
def test_wrong_usage_is_code_2(arguments: tuple[str, ...], folder: Path) -> None:
    """And one line that says what is right, nothing started."""
    np.save(folder / "flat.npy", np.zeros(5, dtype=np.float32))
    done = run(*arguments)
    assert (done.code, done.out) == (2, "")
    assert "error" in done.err.lower()


def test_the_configuration_is_printed(folder: Path) -> None:
    """As text, and as a member of an object."""
    text = run("config", "--old", "[::1]:8100").out
    assert f"{folder}/{MAP_FILE}" in text
    assert run("config", "--old", "[::1]:8100", "--json").json == {"config": text}


def test_a_verdict_is_of_what_the_mirror_saw(folder: Path) -> None:
    """Go on within the limits, stop beyond one, with the figures either way."""
    agreement = Agreement()
    found = [Difference(same_class=True, probability=1e-4, regression=0.0)] * 50
    agreement.compared(found, old_seconds=0.02, new_seconds=0.01)
    report_file.write(folder / report_file.REPORT_FILE, agreement.report())
    stopped = run("verdict")
    assert (stopped.code, "fewer than 1000" in stopped.out, "verdict: stop" in stopped.out) == (1, True, True)
    going = run("verdict", "--min-windows", "50", "--json")
    assert going.code == 0
    assert (going.json["ok"], going.json["windows"], going.json["misses"]) == (True, 50, [])
    assert run("verdict", "--min-windows", "50", "--max-difference", "0.00001").code == 1
