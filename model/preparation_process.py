"""A preparation in a child process: one thread, low priority, a time limit. Knows nothing of what is prepared.

A child and not a thread, because converting a network holds the GIL for longer than a request may wait.
"""

import logging
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from model.engine_plan import EnginePlan
from model.errors import ModelLoadError
from model.pace import NICENESS
from model.preparation_result import raise_failure
from model.registry import Registry
from model.verified_version import VerifiedVersion

logger = logging.getLogger("tickserve")

# Takes 5 s of one idle core. Sixty times that: a child that gets a tenth of a busy one has to finish, too.
DEFAULT_TIME_LIMIT: Final = 300.0
_COMMAND: Final = (sys.executable, "-P", "-m", "model.preparation")
_ROOT: Final = str(Path(__file__).resolve().parent.parent)
_LOGGED_CHARACTERS: Final = 2000


@dataclass(frozen=True, slots=True, kw_only=True)
class PreparationProcess:
    """How to run preparations.

    Attributes:
        time_limit: Seconds after which a child is killed, > 0.
        command: What to run, without the arguments of `model.preparation`.
    """

    time_limit: float = DEFAULT_TIME_LIMIT
    command: Sequence[str] = _COMMAND

    def run(self, registry: Registry, verified: VerifiedVersion, plan: EnginePlan, cache: Path) -> None:
        """Prepares a version into the folder `cache`; blocks, with the GIL released.

        Raises:
            ModelLoadError: The version is refused, or the child was killed, hung or could not be started.
            QualityGateError: There are no real windows to hold an engine to.
            EngineError: The engine cannot be built.
        """
        arguments = {
            "--registry": registry.path.absolute(),
            "--name": verified.name,
            "--version": verified.version,
            "--cache": cache,
            "--engine": plan.kind,
            "--precision": plan.precision,
            "--threads": plan.threads,
            "--parent": os.getpid(),
        }
        words = [str(word) for pair in arguments.items() for word in pair]
        output, errors, code = self._finish(self._start(words, verified.folder), verified.folder)
        if errors:
            logger.info("preparation of %s wrote: %s", verified.folder, errors[-_LOGGED_CHARACTERS:].strip())
        if code < 0:
            reason = f"its preparation was killed by {signal.Signals(-code).name}"
            raise ModelLoadError(verified.folder, reason, "give the machine more memory, or prepare it elsewhere")
        lines = output.strip().splitlines()
        raise_failure(lines[-1] if lines else "", verified.folder)

    def _start(self, words: list[str], folder: Path) -> subprocess.Popen[str]:
        paths = [_ROOT, *filter(None, [os.environ.get("PYTHONPATH")])]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "OMP_NUM_THREADS": "1"}
        try:
            child = subprocess.Popen(
                [*self.command, *words],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                encoding="utf-8",
                errors="replace",
                env=environment,
                start_new_session=True,  # a Ctrl-C is for the service, and killing the group kills all of it
            )
        except OSError as error:
            reason = f"its preparation cannot be started: {error.strerror}"
            raise ModelLoadError(folder, reason, "free memory or processes on the machine") from error
        with suppress(OSError):  # it has ended already
            # From here, since code of ours between fork and exec may deadlock in a process of many threads.
            os.setpriority(os.PRIO_PROCESS, child.pid, NICENESS)
        return child

    def _finish(self, child: subprocess.Popen[str], folder: Path) -> tuple[str, str, int]:
        """Waits for the child; returns what it wrote on stdout and stderr, and its exit code."""
        with child:
            try:
                output, errors = child.communicate(timeout=self.time_limit)
            except subprocess.TimeoutExpired as error:
                reason = f"its preparation took longer than {self.time_limit:g} s"
                remedy = "the machine is too busy, or the preparation hangs: run python -m model.preparation by hand"
                raise ModelLoadError(folder, reason, remedy) from error
            finally:
                if child.poll() is None:
                    os.killpg(child.pid, signal.SIGKILL)
        return output, errors, child.returncode
