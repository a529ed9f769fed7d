"""Processes that are killed, or stopped where they are."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable

from benchmarks.chaos.faults.fault import Fault
from benchmarks.chaos.stage import Stage
from benchmarks.peers.target import TargetError

# Ray's processes give the GCS a minute to come back before they end.
_GCS_PATIENCE = 120.0
_REPLACING_PATIENCE = 180.0


class ReplicaKilled(Fault):
    """`kill -9` of one of two replicas."""

    name = "replica_killed"
    title = "`kill -9` of a replica"
    goal = 1.0
    kills_replica = True

    def inject(self, stage: Stage) -> None:
        """Kills the first."""
        os.kill(stage.pids("replica")[0], signal.SIGKILL)


class ReplicaStopped(Fault):
    """A replica that does not run for a while, as on a machine that swaps or migrates."""

    name = "replica_stopped"
    title = "SIGSTOP of a replica, {hold:g} s"
    goal = 2.0
    hold = 20.0

    def inject(self, stage: Stage) -> None:
        """Stops the first."""
        self._pid = stage.pids("replica")[0]
        os.kill(self._pid, signal.SIGSTOP)

    def heal(self, stage: Stage) -> None:
        """Lets it go on; Ray may have replaced it."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self._pid, signal.SIGCONT)
            self.facts["the same replica goes on"] = "yes" if self._pid in stage.pids("replica") else "no"


class ReplicaFrozen(Fault):
    """A replica that never runs again, though its process is there: Ray Serve has to see it and replace it."""

    name = "replica_frozen"
    title = "SIGSTOP of a replica, for good"
    goal = 2.0
    hold = 0.0

    def inject(self, stage: Stage) -> None:
        """Stops the first."""
        self._pids = set(stage.pids("replica"))
        self._pid = min(self._pids)
        os.kill(self._pid, signal.SIGSTOP)

    def heal(self, stage: Stage) -> None:
        """Waits until it is gone and another has come.

        Raises:
            TargetError: Nobody replaced it.
        """
        began = time.monotonic()
        try:
            self._until(lambda: self._pid not in stage.pids("replica"), began)
            self.facts["ended by Ray Serve after"] = f"{time.monotonic() - began:.1f} s"
            self._until(lambda: bool(set(stage.pids("replica")) - self._pids), began)
            self.facts["process of the next one after"] = f"{time.monotonic() - began:.1f} s"
        except TargetError:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._pid, signal.SIGCONT)
            raise

    @staticmethod
    def _until(is_done: Callable[[], bool], began: float) -> None:
        while not is_done():
            if time.monotonic() - began > _REPLACING_PATIENCE:
                raise TargetError("the stopped replica was not replaced")
            time.sleep(0.1)


class ProxyKilled(Fault):
    """HAProxy's process is gone; Ray Serve's manager of it lives."""

    name = "haproxy_killed"
    title = "`kill -9` of HAProxy"

    def inject(self, stage: Stage) -> None:
        """Kills each of its processes."""
        for pid in stage.pids("haproxy"):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


class ControllerKilled(Fault):
    """The Serve controller is gone; Ray starts it again from its checkpoint."""

    name = "controller_killed"
    title = "`kill -9` of the Serve controller"
    goal = 5.0

    def inject(self, stage: Stage) -> None:
        """Kills it."""
        [pid] = stage.pids("controller")
        os.kill(pid, signal.SIGKILL)


class HeadKilled(Fault):
    """The Ray head's GCS is gone, and the embedded Ray has no other: a supervisor starts `tickserve serve` anew."""

    name = "gcs_killed"
    title = "`kill -9` of the Ray head's GCS, service started anew when it ends"
    hold = 0.0

    def inject(self, stage: Stage) -> None:
        """Kills it."""
        [pid] = stage.pids_named("gcs_server")
        os.kill(pid, signal.SIGKILL)

    def heal(self, stage: Stage) -> None:
        """Waits until the command has ended, as a supervisor would, and starts it again.

        Raises:
            TargetError: It did not end, or did not start.
        """
        began = time.monotonic()
        while stage.is_alive():
            if time.monotonic() - began > _GCS_PATIENCE:
                raise TargetError("the service goes on without its GCS and does not end")
            time.sleep(0.2)
        self.facts["service ended by itself after"] = f"{time.monotonic() - began:.1f} s"
        began = time.monotonic()
        stage.start()
        self.facts["started anew within"] = f"{time.monotonic() - began:.1f} s"
