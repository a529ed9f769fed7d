"""Puts faults into the replicas of a drill; found by Python at start through PYTHONPATH.

A file that `DRILL_CONTROL` names says what is wrong now: `engine_delay`, seconds that each engine call takes longer, in
the process `slow_pid` or in all, and `blocked_pid`, the process whose event loop is blocked for `block` seconds each
time it has turned for `turn`. `DRILL_UNHELD` in the environment lets refusals go at once, to compare.
"""

import asyncio
import json
import os
import threading
import time
from pathlib import Path
from types import ModuleType
from typing import Any

import wrapt

_POLL = 0.1
_CONTROL = os.environ.get("DRILL_CONTROL", "")


class _Control:
    """What the file says, read by a thread of its own: nobody else may wait for a disk."""

    def __init__(self) -> None:
        self.values: dict[str, float] = {}
        self._is_followed = False

    def follow(self) -> None:
        """Reads the file from now on, once however often it is called."""
        if not self._is_followed and _CONTROL:
            self._is_followed = True
            threading.Thread(target=self._read, name="drill-control", daemon=True).start()

    def _read(self) -> None:
        while True:
            try:
                self.values = json.loads(Path(_CONTROL).read_text(encoding="utf-8"))
            except (OSError, ValueError):
                self.values = {}  # not there yet, or being written
            time.sleep(_POLL)


_control = _Control()


def _slow_engine(engine: Any) -> None:
    compute = engine.run

    def run(self: Any, windows: Any) -> Any:
        outputs = compute(self, windows)
        delay = _control.values.get("engine_delay", 0.0)
        if delay and _control.values.get("slow_pid", os.getpid()) == os.getpid():
            time.sleep(delay)
        return outputs

    engine.run = run


def _blocked_loop(module: ModuleType) -> None:
    start = module.Replica.start

    async def started(self: Any) -> None:
        _control.follow()
        self.drill = asyncio.get_running_loop().create_task(block())
        await start(self)

    async def block() -> None:
        while True:
            await asyncio.sleep(_control.values.get("turn", _POLL))
            if _control.values.get("blocked_pid") == os.getpid():
                time.sleep(_control.values["block"])  # noqa: ASYNC251 - the fault itself

    module.Replica.start = started


def _unheld(module: ModuleType) -> None:
    if os.environ.get("DRILL_UNHELD"):
        module.RefusalHold.delay = lambda *_: 0.0


wrapt.register_post_import_hook(_blocked_loop, "server.replica")
wrapt.register_post_import_hook(_unheld, "server.rpc.refusal_hold")
wrapt.register_post_import_hook(lambda module: _slow_engine(module.TorchEngine), "model.torch_engine")
wrapt.register_post_import_hook(lambda module: _slow_engine(module.OpenVINOEngine), "model.openvino_engine")
