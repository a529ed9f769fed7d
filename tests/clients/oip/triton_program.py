"""What a user of Triton's client does, with the real `tritonclient`: run by test_triton_client in another environment.

Reads windows and writes every number that it is told; its last line is JSON with all else. Knows nothing of tickserve.

usage: triton_program.py TARGET KEY WINDOWS.npy ANSWERS.npz
"""

import asyncio
import json
import queue
import sys
from collections.abc import AsyncIterator, Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tritonclient import grpc as triton
from tritonclient.grpc import aio
from tritonclient.utils import InferenceServerException

MODEL = "cnn_lstm"
# No answer is to fail by a default timeout on a busy machine; microseconds.
PATIENCE = 30_000_000
LEVELS = (1, 8, 64)
EACH = 64

Windows = NDArray[np.float32]


def inputs(windows: Windows) -> list[Any]:
    """Returns windows as the one input."""
    given = triton.InferInput("window", windows.shape, "FP32")
    given.set_data_from_numpy(windows)
    return [given]


def numbers(result: Any) -> NDArray[np.float32]:
    """Returns all numbers of a result, a row for each window."""
    names = [output.name for output in result.get_response().outputs]
    return np.concatenate([result.as_numpy(name).astype(np.float32) for name in names], axis=1)


def refusal(call: Callable[[], object]) -> list[str]:
    """Returns status and message of an error."""
    try:
        call()
    except InferenceServerException as error:
        return [str(error.status()), error.message()]
    return ["answered", ""]


async def at_once(client: Any, windows: Windows, level: int, headers: dict[str, str]) -> NDArray[np.float32]:
    """Asks for each window by itself, so many at once."""
    places = asyncio.Semaphore(level)

    async def ask(window: Windows) -> NDArray[np.float32]:
        async with places:
            return numbers(await client.infer(MODEL, inputs(window[None]), headers=headers, timeout=PATIENCE))

    return np.concatenate(await asyncio.gather(*map(ask, windows)))


async def concurrently(target: str, windows: Windows, headers: dict[str, str]) -> dict[str, NDArray[np.float32]]:
    """Asks at each level for windows of its own, so that all are computed; then on a stream."""
    found = {}
    async with aio.InferenceServerClient(target) as client:
        for index, level in enumerate(LEVELS):
            own = windows[index * EACH : (index + 1) * EACH]
            found[f"aio_{level}"] = await at_once(client, own, level, headers)

        async def requests() -> AsyncIterator[dict[str, Any]]:
            for number, window in enumerate(windows[:EACH]):
                yield {
                    "model_name": MODEL, "inputs": inputs(window[None]), "request_id": str(number), "timeout": PATIENCE,
                }  # fmt: skip

        rows: list[NDArray[np.float32]] = []
        async for result, error in client.stream_infer(requests(), headers=headers):
            assert error is None, error
            assert result.get_response().id == str(len(rows))
            rows.append(numbers(result))
        found["aio_stream"] = np.concatenate(rows)
    return found


def on_a_stream(client: Any, windows: Windows, headers: dict[str, str]) -> tuple[NDArray[np.float32], str]:
    """Sends a spoilt request between good ones; returns the numbers of these and what was said of the other."""
    told: queue.Queue[tuple[Any, Any]] = queue.Queue()
    client.start_stream(lambda result, error: told.put((result, error)), headers=headers)
    spoilt = np.full((1, *windows.shape[1:]), np.nan, np.float32)
    for number, window in enumerate([windows[:1], spoilt, windows[1:2]]):
        client.async_stream_infer(MODEL, inputs(window), request_id=str(number), timeout=PATIENCE)
    answers = [told.get(timeout=60) for _ in range(3)]
    client.stop_stream()
    return np.concatenate([numbers(answers[0][0]), numbers(answers[2][0])]), answers[1][1].message()


def main(target: str, key: str, read: str, write: str) -> None:
    """Does it all."""
    windows, headers = np.load(read), {"x-api-key": key}
    client = triton.InferenceServerClient(target)
    facts: dict[str, Any] = {
        "live": client.is_server_live(headers=headers),
        "ready": client.is_server_ready(headers=headers),
        "model_ready": client.is_model_ready(MODEL, headers=headers),
        "other_ready": client.is_model_ready("nobody", headers=headers),
        "server": client.get_server_metadata(headers=headers, as_json=True),
        "metadata": client.get_model_metadata(MODEL, headers=headers, as_json=True),
        "config": client.get_model_config(MODEL, headers=headers, as_json=True)["config"],
        "index": client.get_model_repository_index(headers=headers, as_json=True)["models"],
    }
    found = asyncio.run(concurrently(target, windows, headers))
    plain = {"headers": headers, "timeout": PATIENCE}
    batch = client.infer(MODEL, inputs(windows[:EACH]), request_id="batch", priority=1, **plain)
    found["batch"] = numbers(batch)
    facts["batch"] = [batch.get_response().id, batch.get_response().model_name, batch.get_response().model_version]
    one = client.infer(
        MODEL, inputs(windows[:1]), outputs=[triton.InferRequestedOutput("class_probabilities")], **plain
    )
    facts["chosen"] = [output.name for output in one.get_response().outputs]
    found["stream"], facts["spoilt"] = on_a_stream(client, windows, headers)
    facts["refusals"] = {
        "no key": refusal(lambda: client.infer(MODEL, inputs(windows[:1]))),
        "model": refusal(lambda: client.infer("nobody", inputs(windows[:1]), **plain)),
        "output": refusal(
            lambda: client.infer(MODEL, inputs(windows[:1]), outputs=[triton.InferRequestedOutput("nope")], **plain)
        ),
        "sequence": refusal(lambda: client.infer(MODEL, inputs(windows[:1]), sequence_id=1, **plain)),
        "load": refusal(lambda: client.load_model(MODEL, headers=headers)),
        "time": refusal(lambda: client.infer(MODEL, inputs(windows[-1:]), headers=headers, timeout=1)),
    }
    statistics = client.get_inference_statistics(MODEL, headers=headers, as_json=True)
    facts["statistics"] = statistics["model_stats"][0]
    client.close()
    np.savez(write, allow_pickle=False, **found)
    print(json.dumps(facts))  # noqa: T201 - a program's answer


if __name__ == "__main__":
    main(*sys.argv[1:])
