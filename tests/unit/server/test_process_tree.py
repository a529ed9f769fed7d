"""Laws of the process tree: what was started is found and ended, orphans included. In a process of its own."""

import subprocess
import sys

from scripts.layering import ROOT

# Becomes a subreaper; its child starts a grandchild in a new session and dies; one more ignores SIGTERM.
_ORPHANS = """
import os, subprocess, sys
from server import process_tree

process_tree.adopt_orphans()
sleeper = "import time; print('up', flush=True); time.sleep(600)"
stubborn = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); " + sleeper
parent = (
    "import subprocess, sys;"
    "child = subprocess.Popen([sys.executable, '-c', sys.argv[1]], stdout=subprocess.PIPE, start_new_session=True);"
    "child.stdout.readline(); print(child.pid, flush=True)"
)
orphan = int(subprocess.run([sys.executable, "-c", parent, sleeper], stdout=subprocess.PIPE, check=True).stdout)
child = subprocess.Popen([sys.executable, "-c", stubborn], stdout=subprocess.PIPE)
child.stdout.readline()
assert set(process_tree.descendants()) == {orphan, child.pid}, (process_tree.descendants(), orphan, child.pid)
killed = process_tree.end_descendants(grace=1.0)
assert killed == [child.pid], (killed, orphan, child.pid)
assert process_tree.descendants() == []
for pid in (orphan, child.pid):
    assert not os.path.exists(f"/proc/{pid}"), f"{pid} is left, or a zombie"
child.returncode = 0
print("clean")
"""

# Its child asks to die with it; then it is killed.
_PARENT = """
import subprocess, sys
code = (
    "from server import process_tree; process_tree.die_with_parent();"
    "import signal; print('up', flush=True); signal.pause()"
)
child = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
child.stdout.readline()
print(child.pid, flush=True)
import os, signal
os.kill(os.getpid(), signal.SIGKILL)
"""

# Adopts the orphan of a killed process and reports how it ended.
_DEATH = f"""
import os, signal, subprocess, sys
from server import process_tree
process_tree.adopt_orphans()
pid = int(subprocess.run([sys.executable, "-c", {_PARENT!r}], stdout=subprocess.PIPE).stdout)
_, status = os.waitpid(pid, 0)
assert os.WTERMSIG(status) == signal.SIGTERM, status
print("clean")
"""


def run(code: str) -> subprocess.CompletedProcess[str]:
    """Runs code in a process of its own."""
    return subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )


def test_orphans_are_adopted_and_ended() -> None:
    """A grandchild in another session whose parent has gone ends at once, a stubborn child after the grace."""
    done = run(_ORPHANS)
    assert (done.stdout, done.returncode) == ("clean\n", 0), done.stderr


def test_a_child_dies_with_its_parent() -> None:
    """However the parent dies, SIGKILL included, the child gets SIGTERM."""
    done = run(_DEATH)
    assert (done.stdout, done.returncode) == ("clean\n", 0), done.stderr


def test_without_descendants_there_is_nothing_to_end() -> None:
    """And it takes no time."""
    done = run("from server import process_tree; assert process_tree.end_descendants(grace=30) == []")
    assert done.returncode == 0, done.stderr
