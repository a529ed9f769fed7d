"""Puts faults into the processes of a service under test; found by Python at start through PYTHONPATH.

A window's first value is the sign:

- `HANG` makes the engine hang for good, as a driver that never answers would;
- `FAIL` makes every engine call of the process fail from then on, as after a device-side assert;
- `BLOCK` blocks the event loop for good.
"""

import threading
from types import ModuleType
from typing import Any

import wrapt

HANG = 1234.5
FAIL = 2345.5
BLOCK = 3456.5

_failing = threading.Event()


def _faulty_runs(module: ModuleType) -> None:
    compute = module.BatchRunner.__call__

    def run_batch(self: Any, batch_key: str, batch: Any) -> Any:
        signs = {float(work.window[0, 0]) for work in batch}
        if HANG in signs:
            threading.Event().wait()
        if FAIL in signs:
            _failing.set()
        return compute(self, batch_key, batch)

    module.BatchRunner.__call__ = run_batch


def _faulty_engine(module: ModuleType) -> None:
    compute = module.TorchEngine.run

    def run(self: Any, windows: Any) -> Any:
        if _failing.is_set():
            raise RuntimeError("the test's engine fails")
        return compute(self, windows)

    module.TorchEngine.run = run


def _faulty_loop(module: ModuleType) -> None:
    predict = module.Predictor.predict

    async def blocking(self: Any, task: Any, *arguments: Any, **options: Any) -> Any:
        if float(task.work.window[0, 0]) == BLOCK:
            threading.Event().wait()
        return await predict(self, task, *arguments, **options)

    module.Predictor.predict = blocking


wrapt.register_post_import_hook(_faulty_runs, "server.inference.batch_runner")
wrapt.register_post_import_hook(_faulty_engine, "model.torch_engine")
wrapt.register_post_import_hook(_faulty_loop, "server.inference.predictor")
