"""The service as an image runs it: an unprivileged user, all read-only but four folders. No container engine here."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from scripts.layering import ROOT
from server.process_tree import descendants
from tests.integration.conftest import Service, environment, serving
from tests.support.registry import make_registry, real_windows
from tickserve import Client, Window

SCRIPT = ROOT / "scripts/read_only_run.sh"
UID = "10001"
WRITABLE = {"/tmp", "/dev/shm", "/mnt/cache", "/mnt/state"}
# File systems without files that stay.
KERNEL = {"proc", "devpts"}

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0 or not shutil.which("unshare") or not shutil.which("setpriv"),
    reason="only root can make file systems read-only, with util-linux",
)


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service with a small network, run by the script."""
    registry = make_registry(tmp_path_factory.mktemp("registry"), versions=1)
    registry.chmod(0o755)  # pytest's folders are their owner's alone
    with serving(environment(registry), registry, inside=[str(SCRIPT), str(registry)]) as running:
        yield running


def test_it_answers_as_nobody_with_nothing_to_write_to(service: Service) -> None:
    """One Predict; and each process of it has another user, no capability, no way to more, and no other folder."""
    with Client(service.target) as client:
        assert client.predict(Window.from_array(real_windows()[0])).model.name == "cnn_lstm"
    family = {service.process.pid, *descendants(service.process.pid)}
    assert len(family) > 4  # launcher, Ray's own, the replica, the proxy
    for pid in family:
        try:
            status = dict(line.split(":\t", 1) for line in read(pid, "status").splitlines() if ":\t" in line)
            mounts = [line.split()[1:4] for line in read(pid, "mounts").splitlines()]
        except OSError:
            continue  # it has ended
        assert set(status["Uid"].split()) == {UID}
        assert {int(status[name], 16) for name in ("CapPrm", "CapEff", "CapBnd")} == {0}
        assert status["NoNewPrivs"].strip() == "1"
        open_to_writing = {
            point for point, kind, options in mounts if kind not in KERNEL and "ro" not in options.split(",")
        }
        # One that is hidden by a read-only one of the same place is listed, too.
        assert {point for point in open_to_writing if not is_read_only(pid, point)} == WRITABLE


def read(pid: int, name: str) -> str:
    """Returns what the kernel tells of a process."""
    return Path(f"/proc/{pid}/{name}").read_text(encoding="utf-8")


def is_read_only(pid: int, point: str) -> bool:
    """Tells whether what a process sees at a place is read-only."""
    return bool(os.statvfs(f"/proc/{pid}/root{point}").f_flag & os.ST_RDONLY)
