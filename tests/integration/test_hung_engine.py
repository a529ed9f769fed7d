"""An engine that hangs for good: its members are told, and the replica is replaced."""

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.integration.conftest import environment, serving
from tests.support.faults.sitecustomize import HANG
from tests.support.waiting import wait_for
from tickserve import Client, InferenceError, Prediction, TickserveError

FAULTS = Path(__file__).parents[1] / "support/faults"


def test_a_hung_engine_is_replaced(registry: Path, record_testsuite_property: Callable[[str, object], None]) -> None:
    """The members of the hung batch fail typed, and a new replica answers; how long that took is recorded."""
    env = environment(
        registry,
        PYTHONPATH=str(FAULTS),
        TICKSERVE_ENGINE="torchscript",
        TICKSERVE_SCHEDULER__ENGINE_HANG_TIMEOUT="1",
    )
    window = np.zeros((50, 60), np.float32)
    fatal = window.copy()
    fatal[0, 0] = HANG

    with serving(env, registry) as service, Client(service.target, default_timeout=10) as client:
        first = client.predict(window).execution.replica_id
        with pytest.raises(InferenceError) as failed:
            client.predict(fatal)
        assert failed.value.reason == "INFERENCE_FAILED"
        began = time.monotonic()

        def answer() -> Prediction | None:
            try:
                prediction = client.predict(window)
            except TickserveError:
                return None
            return prediction if prediction.execution.replica_id != first else None

        wait_for(answer, timeout=90)
        record_testsuite_property("hung_engine_seconds_until_replaced", round(time.monotonic() - began, 1))
        assert client.health() == "SERVING"
