"""docs/migration.md as it stands, against a live old service and a live new one, with callers who never stop.

Every command of the page is typed in its order; after each step it is looked at who answers whom. Nobody's call fails.
"""

import http.client
import json
import logging
import os
import re
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from model.dataset import load_windows
from server.migration.side_by_side import body_of
from server.migration.split import bucket_of
from server.migration.split_config import SIDE_HEADER
from tests.integration.conftest import Service, environment, free_port, serving, stop
from tests.support.documented import ROOT, as_here, blocks
from tests.support.registry import FULL, make_registry
from tests.support.waiting import wait_for

logger = logging.getLogger(__name__)

PAGE = "docs/migration.md"
# What goes on until it is stopped, and what it says when it is ready; `tickserve serve` is the fixture's.
LASTING = {"-m tests.support.legacy": "legacy ready", "migrate edge": "split ready", "migrate mirror": "mirror ready"}
SERVE = ".venv/bin/tickserve serve"
STEPS = [block.text for block in blocks(PAGE) if block.language == "sh"]
PREDICT = "/ray-serve/predict"
CALLERS = [f"desk-{number}" for number in range(24)]

pytestmark = pytest.mark.timeout(1200)


@dataclass
class Callers:
    """Clients of the original's, each on a connection of his own that he keeps, one request after the other.

    Attributes:
        port: Of the split.
        sides: Who answered each caller last.
        statuses: Of all answers.
        failed: What went wrong otherwise; nothing may.
    """

    port: int
    sides: dict[str, str] = field(default_factory=dict)
    statuses: Counter[int] = field(default_factory=Counter)
    failed: list[str] = field(default_factory=list)
    rounds: int = 0
    stopping: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        """Calls until it is stopped."""
        windows = load_windows(ROOT / "data/eurusd_1h.csv", limit=len(CALLERS))
        bodies = [body_of(window) for window in windows]
        lines = {caller: http.client.HTTPConnection("127.0.0.1", self.port, timeout=60) for caller in CALLERS}
        while not self.stopping.is_set():
            for caller, body in zip(CALLERS, bodies, strict=True):
                headers = {"Content-Type": "application/json", "X-Tickserve-Routing-Key": caller}
                try:
                    lines[caller].request("POST", PREDICT, body, headers)
                    answer = lines[caller].getresponse()
                    result = json.loads(answer.read())
                    self.statuses[answer.status] += 1
                    self.sides[caller] = answer.getheader(SIDE_HEADER, "")
                    if answer.status == 200 and len(result["predictions"]["classification_probs"]) != 3:
                        self.failed.append(f"{caller}: {result}")
                except (OSError, http.client.HTTPException, ValueError) as error:
                    self.failed.append(f"{caller}: {error!r}")
                    lines[caller].close()
            self.rounds += 1
        for line in lines.values():
            line.close()

    def now(self) -> dict[str, str]:
        """Returns who answers each caller, from a round that began after this call."""
        seen = self.rounds
        assert wait_for(lambda: self.rounds >= seen + 2, timeout=120)
        return dict(self.sides)


@dataclass
class Stage:
    """Everything of the page.

    Attributes:
        service: tickserve.
        ports: Of the page's addresses, as they are here.
        env: Of what is typed.
        folder: Where it is typed: files that commands write stay out of the tree.
        lasting: What goes on until the end.
    """

    service: Service
    ports: dict[str, int]
    env: dict[str, str]
    folder: Path
    lasting: ExitStack

    def here(self, text: str) -> str:
        """Returns a step with this stage's programs, addresses and files."""
        made = as_here(text, target=self.service.target, http=self.service.http)
        for there, port in self.ports.items():
            made = made.replace(there, str(port))
        made = made.replace("data/eurusd_1h.csv", str(ROOT / "data/eurusd_1h.csv"))
        # The page speaks of days; a test has seconds.
        return made.replace("--min-windows 10000", "--min-windows 30").replace("sample 10\n", "sample 100\n")

    def typed(self, step: str) -> str:
        """Types a step and returns what it prints; one that lasts is left running once it is ready."""
        for sign, ready in LASTING.items():
            if sign in step:
                return self.lasting.enter_context(lasting(self.here(step), self.env, self.folder, ready))
        done = subprocess.run(
            ["sh", "-euc", self.here(step)],
            cwd=self.folder,
            env=self.env,
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout


@contextmanager
def lasting(command: str, env: dict[str, str], folder: Path, ready: str) -> Iterator[str]:
    """Runs a command until the context is left; then it must end by itself on SIGTERM or SIGINT."""
    with (folder / f"{ready.split()[0]}.log").open("w+") as log:
        process = subprocess.Popen(
            ["sh", "-euc", f"exec {command}"],
            cwd=folder,
            env=env,
            stdout=log,
            stderr=log,
            text=True,
            start_new_session=True,
        )
        try:

            def said() -> str:
                assert process.poll() is None, Path(log.name).read_text()
                text = Path(log.name).read_text()
                return text if ready in text else ""

            yield wait_for(said, timeout=300)
        finally:
            stop(process)


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    """tickserve, as the page's second block starts it, and the page's other addresses; nothing else runs yet."""
    registry = make_registry(tmp_path / "registry", network=FULL)
    # The machine may be busy, and nobody is refused for that here.
    env = environment(registry, TICKSERVE_DEFAULT_TIMEOUTS__STANDARD="60")
    ports = {"8100": free_port(), "8080": free_port(), "8090": free_port()}
    with ExitStack() as stack:
        running = stack.enter_context(ExitStack())
        service = running.enter_context(serving(env, registry))
        http_port = service.http.rpartition(":")[2]
        typing = os.environ | {
            "PYTHONPATH": str(ROOT),
            "NO_COLOR": "1",
            "COLUMNS": "200",
            "TICKSERVE_MIGRATION_FOLDER": str(tmp_path / "migration"),
        }
        lasting_ones = stack.enter_context(ExitStack())
        made = Stage(service, {**ports, "8000": int(http_port)}, typing, tmp_path, lasting_ones)
        yield made


def test_the_page_works_as_it_stands(stage: Stage) -> None:
    """From nothing to 100 % and back, then tickserve goes away: each caller is where the page says, and none fails."""
    steps = iter(STEPS)

    def next_step(sign: str) -> str:
        step = next(steps)
        assert sign in step, f"the page has {step!r} where {sign!r} was expected"
        return step

    assert "legacy ready" in stage.typed(with_defaults(next_step("tests.support.legacy"), stage))
    assert next_step(SERVE).strip() == SERVE
    assert "verdict: go on" in stage.typed(with_defaults(next_step("compare"), stage))
    stage.typed(with_defaults(next_step("migrate edge"), stage))
    stage.typed(with_defaults(next_step("migrate mirror"), stage))
    shown = stage.typed(next_step("window.json"))
    assert "x-migration-side: old" in shown.lower()
    assert '"classification_probs"' in shown

    callers = Callers(stage.ports["8080"])
    calling = threading.Thread(target=callers.run)
    calling.start()
    try:
        assert set(callers.now().values()) == {"old"}
        stage.typed(next_step("sample"))
        assert set(callers.now().values()) == {"mirror"}
        verdict = next_step("verdict")
        assert "verdict: go on" in wait_for(lambda: go_on(stage, verdict), timeout=120)

        text = stage.typed(next_step("split 20"))
        assert "new service: 20 %" in text
        at_twenty = newcomers(callers.now())
        assert at_twenty == {caller for caller in CALLERS if bucket_of(caller) < 2000}
        fifty, hundred = next_step("split 50").splitlines()
        stage.typed(fifty + "\n")
        at_fifty = newcomers(callers.now())
        assert at_fifty == {caller for caller in CALLERS if bucket_of(caller) < 5000}
        assert at_fifty > at_twenty
        stage.typed(hundred + "\n")
        assert newcomers(callers.now()) == set(CALLERS)
        assert callers.statuses.keys() == {200}

        # tickserve is stopped, as it should not be at 100 %: the old service answers for it.
        began = time.monotonic()
        stop(stage.service.process)
        assert set(callers.now().values()) == {"fallback"}
        logger.info("tickserve was replaced within %.1f s; answers %s", time.monotonic() - began, callers.statuses)
        assert callers.statuses.keys() <= {200, 503}  # what was refused while it drained
        refused = callers.statuses[503]

        assert "new service: 0 %" in stage.typed(next_step("rollback"))
        assert set(callers.now().values()) <= {"old", "mirror"}
        assert callers.statuses[503] == refused
    finally:
        callers.stopping.set()
        calling.join()
    assert callers.failed == []
    assert next(steps, None) is None


def go_on(stage: Stage, verdict: str) -> str | None:
    """Returns what the verdict says once it is good; the mirror needs a moment for its report."""
    try:
        return stage.typed(verdict)
    except AssertionError:
        return None


def newcomers(sides: dict[str, str]) -> set[str]:
    """Returns the callers that the new service answers."""
    assert set(sides.values()) <= {"new", "mirror", "old"}
    return {caller for caller, side in sides.items() if side == "new"}


def with_defaults(step: str, stage: Stage) -> str:
    """Writes out the addresses that a command takes by default, so that they are found and replaced.

    The page leaves them out because they are the defaults; here they are other ones.
    """
    missing = {
        "--old": "127.0.0.1:8100",
        "--new": "127.0.0.1:8000",
        "--listen": "127.0.0.1:8080" if "migrate edge" in step else "127.0.0.1:8090",
    }
    if "migrate compare" in step:
        del missing["--listen"]
    if "tests.support.legacy" in step:
        return re.sub(r"--registry \S+", f"--registry {stage.service.registry}", step)
    return step.rstrip() + "".join(f" {name} {value}" for name, value in missing.items()) + "\n"
