"""Runs a program that uses a real client of the Open Inference Protocol, and asks `Predict` for the same windows."""

import json
import os
import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import numpy as np
from numpy.typing import NDArray

from scripts.layering import ROOT
from tests.clients.conftest import Reachable
from tests.support import messages as m
from tests.support import oip
from tests.support.registry import real_windows
from tickserve.v1.prediction_service_pb2 import PredictRequest, PredictResponse

PYTHON = ROOT / "build/oip-clients/bin/python"
TIMEOUT = 240
# Of bf16, as the quality gate has it: a window computed in two batches of other sizes may differ by so much.
TOLERANCE = 5e-3

Numbers = NDArray[np.float32]


@dataclass(frozen=True)
class Told:
    """What a program was told.

    Attributes:
        facts: Its last line.
        numbers: All outputs of each window, a row each, by how they were asked for.
    """

    facts: Mapping[str, Any]
    numbers: Mapping[str, Numbers]


def run(program: str, service: Reachable, folder: Path, windows: Numbers) -> Told:
    """Runs a program of this folder to its end.

    Raises:
        AssertionError: It failed; the message has its output.
    """
    read, write = folder / "windows.npy", folder / "answers.npz"
    np.save(read, windows)
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "TICKSERVE_"))}
    command = [PYTHON, Path(__file__).parent / program, service.target, service.keys["python"], read, write]
    done = subprocess.run(
        list(map(str, command)),
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
        check=False,
    )
    assert done.returncode == 0, f"{done.stdout}{done.stderr}"
    with np.load(write) as found:
        numbers = dict(found)
    return Told(json.loads(done.stdout.splitlines()[-1]), numbers)


def check(found: Numbers, service: Reachable, indices: Iterable[int]) -> None:
    """Compares a program's numbers with those of `Predict`: to the bit where it gave the same computation's.

    Raises:
        AssertionError: They differ.
    """
    metadata = (("x-api-key", service.keys["python"]),)
    predictions = []
    with grpc.insecure_channel(service.target) as channel:
        predict: Any = channel.unary_unary(
            "/tickserve.v1.PredictionService/Predict",
            request_serializer=PredictRequest.SerializeToString,
            response_deserializer=PredictResponse.FromString,
        )
        for index in indices:
            request = m.predict(window=m.window(index), request_id="", timeout=m.duration(30))
            predictions.append(predict(request, timeout=60, metadata=metadata).prediction)
    expected = np.concatenate(list(oip.expected(predictions).values()), axis=1).astype(np.float32)
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, atol=TOLERANCE, rtol=0)
    known = [prediction.execution.cached for prediction in predictions]
    np.testing.assert_array_equal(found[known], expected[known])


def first_windows(count: int) -> Numbers:
    """Returns windows of the real bars."""
    return np.ascontiguousarray(real_windows()[:count])
