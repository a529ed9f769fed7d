"""Processes that count and scrape and are killed: run as a program, for it forks, which a test's process must not.

    python -m tests.support.killed_counters random SEED ROUNDS    kills at random moments
    python -m tests.support.killed_counters steps                 kills a folding process at each of its system calls

Prints one JSON object with what was counted and what was found.
"""

import json
import os
import random
import select
import signal
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from server.telemetry.instruments import Instruments
from server.telemetry.metric_catalogue import GOODPUT, QUEUE_DURATION, SYMBOLS
from server.telemetry.metric_folder import MetricFolder
from server.telemetry.metric_tally import Key

CLASS = "real_time"
TOTAL: Key = (GOODPUT.name, (CLASS,))
TIMES: Key = (QUEUE_DURATION.name, (CLASS,))
LIVING: Key = (SYMBOLS.name, ())


def main() -> None:
    """Runs the experiment that the arguments name."""
    with tempfile.TemporaryDirectory() as folder:
        if sys.argv[1] == "random":
            result = kill_at_random(Path(folder), random.Random(int(sys.argv[2])), int(sys.argv[3]))
        else:
            result = kill_at_each_step(Path(folder))
    sys.stdout.write(json.dumps(result))


def spawn(work: Callable[[], object]) -> int:
    """Returns the pid of a process that does some work and nothing else; it exits with 1 if that fails."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            work()
            code = 0
        finally:
            os._exit(code)
    return pid


def kill(pid: int) -> int:
    """Kills a process and returns its exit code, or minus the signal that ended it."""
    os.kill(pid, signal.SIGKILL)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def opened(path: Path) -> Instruments:
    """Returns instruments that count in a folder."""
    instruments = Instruments()
    instruments.open(MetricFolder(path))
    instruments.gauge(SYMBOLS).set(1)
    return instruments


def count(path: Path, acknowledge: int) -> None:
    """Counts for ever, and writes one byte for each time that it has."""
    instruments = opened(path)
    total, times = instruments.counter(GOODPUT, CLASS), instruments.histogram(QUEUE_DURATION, CLASS)
    while True:
        times.observe(0.001)
        total.increment()
        os.write(acknowledge, b".")


def scrape(path: Path) -> None:
    """Reads for as long as its parent lives; fails if a total ever decreases."""
    folder, last, parent = MetricFolder(path), 0.0, os.getppid()
    while os.getppid() == parent:
        total = folder.read().get(TOTAL, [0.0])[0]
        assert total >= last, f"fell from {last} to {total}"
        last = total


def kill_at_random(path: Path, chance: random.Random, rounds: int) -> dict[str, object]:
    """Lets replicas count while others scrape, and kills them; returns what they said and what is left.

    Returns:
        `acknowledged`: what the replicas said they had counted; `killed`: how many were killed, each of which may have
        counted once more; `total`, `observed`, `buckets`: what the folder says; `living`: gauges that are left;
        `files`: how many there are; `scrapers`: exit codes of those that were still at work at the end.
    """
    acknowledged = 0
    scrapers = [spawn(lambda: scrape(path)) for _ in range(2)]
    for _ in range(rounds):
        readable, writable = os.pipe()
        replica = spawn(lambda: count(path, writable))  # noqa: B023 - called before the next round
        os.close(writable)
        wanted, received = chance.randrange(1, 400), 0
        while received < wanted:
            received += len(os.read(readable, chance.randrange(1, 50)))
        if any(os.waitpid(scraper, os.WNOHANG)[0] for scraper in scrapers):
            kill(replica)
            return {"error": "a scraper failed, or saw a total decrease"}
        if chance.random() < 0.5:
            kill(scrapers.pop(chance.randrange(len(scrapers))))
            scrapers.append(spawn(lambda: scrape(path)))
        kill(replica)
        while data := os.read(readable, 1 << 16):
            received += len(data)
        os.close(readable)
        acknowledged += received
    codes = [kill(scraper) for scraper in scrapers]
    found = MetricFolder(path).read()
    return {
        "acknowledged": acknowledged,
        "killed": rounds,
        "total": found[TOTAL][0],
        "observed": found[TIMES][0],
        "buckets": sum(found[TIMES][1:]),
        "living": found.get(LIVING, [0.0])[0],
        "files": len(list(path.iterdir())),
        "scrapers": codes,
    }


def kill_at_each_step(path: Path) -> dict[str, object]:
    """Kills a process that folds at its first step, its second and so on; returns what each left, read twice."""
    totals: list[list[float]] = []
    while True:
        folder = path / str(len(totals))
        for number in (1, 2, 3):
            instruments = opened(folder)
            instruments.counter(GOODPUT, CLASS).increment(number)
            instruments.close()
            if number == 1:
                MetricFolder(folder).read()  # so that there is an archive already
        folding = spawn(lambda: fold_until(len(totals) + 1, folder))  # noqa: B023 - called at once
        code = os.waitstatus_to_exitcode(os.waitpid(folding, 0)[1])
        totals.append([MetricFolder(folder).read()[TOTAL][0] for _ in range(2)])
        if code == 0:
            return {"totals": totals, "left": sorted(file.name for file in folder.iterdir())}


def fold_until(step: int, path: Path) -> None:
    """Folds, and dies at the given system call."""
    folder, seen = MetricFolder(path), 0

    def look(event: str, _arguments: object) -> None:
        nonlocal seen
        if event in ("open", "os.rename", "os.remove", "mmap.__new__", "fcntl.flock", "os.scandir", "os.listdir"):
            seen += 1
            if seen == step:
                os.kill(os.getpid(), signal.SIGKILL)
                select.select([], [], [])  # the kernel may take a moment

    sys.addaudithook(look)
    folder.read()


if __name__ == "__main__":
    main()
