"""What a user of KServe's client does, with the real `kserve`: run by test_kserve_client in another environment.

Reads windows and writes every number that it is told; its last line is JSON with all else. Knows nothing of tickserve.

usage: kserve_program.py TARGET KEY WINDOWS.npy ANSWERS.npz
"""

import asyncio
import json
import sys
from typing import Any

import grpc
import numpy as np
from kserve import InferenceGRPCClient, InferInput, InferRequest  # type: ignore[import-not-found]  # not in this one
from numpy.typing import NDArray

MODEL = "cnn_lstm"
# No answer is to fail by a default timeout on a busy machine; microseconds.
PATIENCE = 30_000_000

Windows = NDArray[np.float32]


def request(windows: Windows, *, as_bytes: bool, name: str = MODEL, request_id: str = "mine") -> Any:
    """Returns a request with the windows as bytes or as numbers."""
    shape = list(windows.shape)
    if as_bytes:
        given = InferInput("window", shape, "FP32", data=windows)
    else:
        given = InferInput("window", shape, "FP32", data=windows.ravel().tolist())
    return InferRequest(name, [given], request_id=request_id, parameters={"timeout": PATIENCE})


def numbers(response: Any) -> NDArray[np.float32]:
    """Returns all numbers of a response, a row for each window."""
    return np.concatenate([output.as_numpy().astype(np.float32) for output in response.outputs], axis=1)


async def run(target: str, key: str, read: str, write: str) -> None:
    """Does it all."""
    windows, headers = np.load(read), (("x-api-key", key),)
    async with InferenceGRPCClient(target) as client:
        facts: dict[str, Any] = {
            "live": await client.is_server_live(headers=headers),
            "ready": await client.is_server_ready(headers=headers),
            "model_ready": await client.is_model_ready(MODEL, headers=headers),
        }
        raw = await client.infer(request(windows, as_bytes=True), headers=headers)
        typed = await client.infer(request(windows[:2], as_bytes=False), headers=headers)
        facts["answered"] = [raw.id, raw.model_name, raw.model_version, [output.name for output in raw.outputs]]
        try:
            await client.infer(request(windows[:1], as_bytes=True, name="nobody"), headers=headers)
        except grpc.RpcError as error:
            facts["refused"] = [error.code().name, error.details()]
    np.savez(write, raw=numbers(raw), typed=numbers(typed))
    print(json.dumps(facts))  # noqa: T201 - a program's answer


if __name__ == "__main__":
    asyncio.run(run(*sys.argv[1:]))
