"""The replica's threads, by name, and the processor time of one of them while others measure.

Linux gives all of a process's threads the name of the process, and Python's own names stay inside it: py-spy, which Ray
installs, reads them there. It also takes the samples of the profile.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks.load.cpu import parse_stat

_INTERVAL = 0.1
_DUMP_TIMEOUT = 30.0
# Beyond the time it was told to sample for: it starts slowly on a busy machine.
_RECORD_GRACE = 30.0
# A second; each sample stops the process for a moment, so this is a run of its own.
_SAMPLES = 200


class ProfilerError(RuntimeError):
    """py-spy is not there, or may not look into the process; the message says which."""


def thread_ids(pid: int) -> dict[str, int]:
    """Returns the system's id of every Python thread of a process, by Python's name.

    Raises:
        ProfilerError: See there.
    """
    command = [_profiler(), "dump", "--json", "--nonblocking", "--pid", str(pid)]
    answer = subprocess.run(command, capture_output=True, text=True, timeout=_DUMP_TIMEOUT, check=False)
    if answer.returncode != 0:
        raise ProfilerError(f"py-spy failed: {answer.stderr.strip()[-300:]}")
    return {str(thread["thread_name"]): int(thread["os_thread_id"]) for thread in json.loads(answer.stdout)}


@contextlib.contextmanager
def sampled(pid: int, seconds: float) -> Iterator[list[str]]:
    """Samples a process's stacks for so long, from the start of the context; its end waits for the samples.

    Yields:
        Filled at the end: collapsed stacks, as `attribution` reads them. Threads that do nothing are not in them.

    Raises:
        ProfilerError: See there.
    """
    lines: list[str] = []
    with tempfile.TemporaryDirectory(prefix="profile-") as folder:
        file = Path(folder) / "stacks"
        command = [_profiler(), "record", "--pid", str(pid), "--threads", "--format", "raw", "--output", str(file)]
        command += ["--rate", str(_SAMPLES), "--duration", str(max(1, round(seconds)))]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        try:
            yield lines
            _, error = process.communicate(timeout=seconds + _RECORD_GRACE)
        finally:
            if process.poll() is None:
                process.kill()
                process.communicate()
        if process.returncode != 0 or not file.exists():
            raise ProfilerError(f"py-spy failed: {error.strip()[-300:]}")
        lines += file.read_text(encoding="utf-8").splitlines()


class ThreadClock:
    """Reads the processor time of some threads again and again while the context is entered.

    Args:
        pid: Of the process.
        threads: Ids of its threads.
    """

    def __init__(self, pid: int, threads: Sequence[int]) -> None:
        self._files = {tid: Path(f"/proc/{pid}/task/{tid}/stat") for tid in threads}
        self._instants: list[float] = []
        self._seconds: dict[int, list[float]] = {tid: [] for tid in threads}
        self._ended = threading.Event()
        self._reader = threading.Thread(target=self._read, daemon=True)

    def __enter__(self) -> ThreadClock:
        """Starts reading."""
        self._reader.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stops reading."""
        self._ended.set()
        self._reader.join()

    def between(self, tid: int, start: float, end: float) -> float:
        """Returns the processor seconds of a thread between two instants of the monotonic clock."""
        seconds = self._seconds[tid]
        return interpolated(self._instants, seconds, end) - interpolated(self._instants, seconds, start)

    def _read(self) -> None:
        while not self._ended.wait(_INTERVAL):
            self._instants.append(time.monotonic())
            for tid, file in self._files.items():
                self._seconds[tid].append(parse_stat(file.read_text())[1])


def interpolated(instants: Sequence[float], values: Sequence[float], at: float) -> float:
    """Returns the value at an instant, between its neighbours' in proportion.

    Args:
        instants: Ascending; at least one.
        values: One for each.
        at: Before the first and after the last instant, their values hold.
    """
    after = bisect_left(instants, at)
    if after == 0:
        return values[0]
    if after == len(instants):
        return values[-1]
    share = (at - instants[after - 1]) / (instants[after] - instants[after - 1])
    return values[after - 1] + share * (values[after] - values[after - 1])


def _profiler() -> str:
    beside = Path(sys.executable).with_name("py-spy")
    found = str(beside) if beside.exists() else shutil.which("py-spy")
    if found is None:
        raise ProfilerError("py-spy is not installed")
    return found
