"""The split while it runs: its folder, its HAProxy, started again when it ends. Owns the supervision."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import replace

from server.edge import haproxy_process
from server.edge.haproxy_config import SOCKET_FILE
from server.edge.haproxy_process import CONFIG_FILE, EdgeError, HaproxyProcess
from server.edge.restart_delay import RestartDelay
from server.edge.runtime_api import RuntimeApi
from server.migration.split_config import SplitPlan, render
from server.migration.split_control import SplitControl, SplitError

logger = logging.getLogger("tickserve")

_POLL = 0.2
_NAME = "the split"


class SplitEdge:
    """Runs the split in the calling thread: HAProxy ends with the thread that started it.

    Args:
        plan: What it does; its folder keeps the shares from one start to the next.
    """

    def __init__(self, plan: SplitPlan) -> None:
        self._plan = replace(plan, folder=plan.folder.absolute())
        self._api = RuntimeApi(self._plan.folder / SOCKET_FILE)

    def prepare(self) -> None:
        """Writes the configuration and lets HAProxy check it.

        Raises:
            EdgeError: It cannot be used, or another split runs in the folder.
        """
        folder = self._plan.folder
        if self._api.is_up():
            raise EdgeError(f"a split runs in {folder} already; stop it, or choose another --folder")
        control = SplitControl(folder)
        try:
            control.store(control.stored())
            configuration = render(self._plan)
            (folder / CONFIG_FILE).write_text(configuration)
        except (OSError, SplitError, ValueError) as error:
            raise EdgeError(str(error)) from None
        haproxy_process.check(folder, secret="", name=_NAME)

    def run(self, stop: threading.Event, on_ready: Callable[[int], None]) -> None:
        """Splits until it is told to stop; a process that ends is started again.

        Args:
            stop: Set when it shall end.
            on_ready: Called with the process's id, after every start.

        Raises:
            EdgeError: It did not start at all, as when the port is taken.
        """
        process = self._launch()
        delay = RestartDelay()
        try:
            on_ready(process.pid)
            while not stop.is_set():
                if not process.wait(_POLL):
                    continue
                seconds = delay.after(time.monotonic() - process.started_at)
                logger.error("%s has ended; it starts again in %.1f s: %s", _NAME, seconds, process.last_words())
                if stop.wait(seconds):
                    return
                try:
                    process = self._launch()
                    on_ready(process.pid)
                except EdgeError as error:
                    logger.error("%s", error)
        finally:
            process.stop()

    def _launch(self) -> HaproxyProcess:
        return HaproxyProcess(self._plan.folder, "", self._api, name=_NAME)
