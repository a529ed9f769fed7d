"""`Predict`, `PredictBatch` and `StreamPredict` through HAProxy and Ray Serve, held against eager PyTorch."""

import asyncio
import hashlib
import random
import time
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from model.dataset import load_windows
from model.outputs import ModelOutputs
from model.parity import TOLERANCES, eager_outputs
from model.registry import Registry
from tests.integration.conftest import Service
from tickserve import (
    AsyncClient,
    BatchItem,
    Client,
    DeadlineError,
    InvalidRequestError,
    NotFoundError,
    OverloadedError,
    Prediction,
    Priority,
    StreamItem,
    TickserveError,
    UnavailableError,
)

FloatArray = NDArray[np.float32]
DATA = Path(__file__).parents[2] / "data/eurusd_1h.csv"


SENDABLE = [priority for priority in Priority if priority is not Priority.SHADOW]


@pytest.fixture(scope="module")
def windows() -> FloatArray:
    """Real windows, `[64, 50, 60]`."""
    return load_windows(DATA, 64)


@pytest.fixture(scope="module")
def expected(windows: FloatArray, registry: Path) -> ModelOutputs:
    """Eager fp32 answers to the windows, by the latest version."""
    return eager_outputs(Registry(registry).load("cnn_lstm").network, windows)


def assert_close(prediction: Prediction, expected: ModelOutputs, index: int) -> None:
    """Fails unless an answer is within design tolerance of eager's, whatever engine and batch made it."""
    probabilities = np.array(list(prediction.classes.values()))
    assert np.abs(probabilities - expected.class_probabilities[index]).max() <= TOLERANCES["bf16"].probability


@pytest.mark.parametrize("priority", SENDABLE[1:])
def test_equals_eager_at_every_priority(
    service: Service, windows: FloatArray, expected: ModelOutputs, priority: Priority
) -> None:
    """An answer equals eager PyTorch's within tolerance and says how it was made."""
    with Client(service.target) as client:
        prediction = client.predict(windows[3], priority=priority, bypass_cache=True, timeout=10)
    assert_close(prediction, expected, 3)
    assert prediction.model.version == 2
    assert prediction.input.sha256 == hashlib.sha256(windows[3].tobytes()).hexdigest()
    execution = prediction.execution
    assert execution.effective_priority == priority
    assert execution.batch_size >= 1
    assert 0 < execution.inference_duration <= execution.total_duration
    assert 0 <= execution.queue_duration <= execution.total_duration
    assert 0 < execution.deadline_slack < 10
    assert execution.replica_id
    assert not execution.cached


async def test_same_window_alone_is_bit_identical(service: Service, windows: FloatArray) -> None:
    """The same window sent alone gives the same bits every time, whatever batches ran in between."""
    answers = []
    async with AsyncClient(service.target) as client:
        for size in (1, 2, 7, 33) * 5:
            answers.append(await client.predict(windows[0], bypass_cache=True, timeout=10))
            await asyncio.gather(*(client.predict(window, bypass_cache=True, timeout=30) for window in windows[:size]))
    assert {answer.execution.batch_size for answer in answers} == {1}
    assert len({(tuple(a.classes.values()), tuple(a.regressions.items())) for a in answers}) == 1


async def test_batching_keeps_the_tolerance(service: Service, windows: FloatArray, expected: ModelOutputs) -> None:
    """Whatever a window was batched with, its answer stays within tolerance; and batches do form."""
    async with AsyncClient(service.target) as client:
        answers = await asyncio.gather(
            *(client.predict(windows[i], bypass_cache=True, timeout=30) for i in range(64) for _ in range(2))
        )
    for position, answer in enumerate(answers):
        assert_close(answer, expected, position // 2)
    assert max(answer.execution.batch_size for answer in answers) > 1


def test_options_trim_the_answer(service: Service, windows: FloatArray) -> None:
    """Options leave parts out and never change a number."""
    with Client(service.target) as client:
        whole = client.predict(windows[1], return_features=True, timeout=10)
        bare = client.predict(windows[1], return_uncertainty=False, use_ensemble=False, timeout=10)
    assert whole.ensemble is not None
    assert len(whole.ensemble.weights) == 5
    assert whole.features is not None
    assert whole.features.shape == (256,)
    assert bare.ensemble is None
    assert bare.features is None
    assert bare.classes == whole.classes
    assert [r.mean for r in bare.regressions.values()] == [r.mean for r in whole.regressions.values()]
    assert all(r.standard_deviation == 0 for r in bare.regressions.values())
    assert all(r.standard_deviation > 0 for r in whole.regressions.values())


def test_batch_keeps_order_and_isolates_the_bad(service: Service, windows: FloatArray, expected: ModelOutputs) -> None:
    """A batch answers in input order; a bad item is answered with its own error."""
    spoilt = windows[5].copy()
    spoilt[7, 7] = np.nan
    items = [BatchItem(window=windows[4]), BatchItem(window=spoilt), BatchItem(window=windows[6])]
    with Client(service.target) as client:
        first, second, third = client.predict_batch(items, timeout=10)
    assert isinstance(first, Prediction)
    assert isinstance(third, Prediction)
    assert_close(first, expected, 4)
    assert_close(third, expected, 6)
    assert isinstance(second, InvalidRequestError)
    assert second.reason == "NON_FINITE_VALUE"
    assert second.fields[0].field == "items[1].window.raw_float32"


async def test_stream_answers_every_item_once(service: Service, windows: FloatArray, expected: ModelOutputs) -> None:
    """A stream answers each item once under its id, in any order, and lives through bad items."""
    chooser = random.Random(1)
    sent = {f"item-{i}": chooser.randrange(64) for i in range(200)}

    async def items() -> AsyncIterator[StreamItem]:
        for name, index in sent.items():
            yield StreamItem(request_id=name, window=windows[index], priority=chooser.choice(SENDABLE), timeout=30)
        yield StreamItem(request_id="bad", window=np.zeros((3, 3), np.float32))

    answers: dict[str, Prediction | TickserveError] = {}
    async with AsyncClient(service.target) as client:
        async for request_id, result in client.stream_predict(items()):
            assert request_id not in answers
            answers[request_id] = result
    refusal = answers.pop("bad")
    assert isinstance(refusal, InvalidRequestError)
    assert refusal.reason == "INVALID_SHAPE"
    assert answers.keys() == sent.keys()
    for name, result in answers.items():
        assert isinstance(result, Prediction)
        assert_close(result, expected, sent[name])


def test_models_are_found_by_name_and_version(service: Service, windows: FloatArray) -> None:
    """A pinned version answers once it is loaded; until then the caller is told when to come back."""
    told: list[UnavailableError] = []
    with Client(service.target) as client:
        assert client.predict(windows[0], model="cnn_lstm:2", timeout=10).model.version == 2
        answer = None
        while answer is None:
            try:
                answer = client.predict(windows[0], model="cnn_lstm:1", timeout=10)
            except UnavailableError as error:
                told.append(error)
                time.sleep(error.retry_delay or 0)
        assert answer.model.version == 1
        assert {(error.reason, error.retry_delay is not None) for error in told} <= {("MODEL_LOADING", True)}
        with pytest.raises(NotFoundError, match="no such model") as unknown:
            client.predict(windows[0], model="cnn_lstm:99")
        assert unknown.value.reason == "MODEL_NOT_FOUND"
        listed = {(model.version.name, model.version.version): model for model in client.models()}
    assert set(listed) == {("cnn_lstm", 1), ("cnn_lstm", 2)}
    assert listed["cnn_lstm", 2].is_default
    assert listed["cnn_lstm", 2].engine is not None


async def test_deadlines_end_in_typed_refusals(service: Service, windows: FloatArray) -> None:
    """Work that cannot be done in time ends with a typed refusal; the answers that come are all in time."""
    async with AsyncClient(service.target) as client:
        results = await asyncio.gather(
            *(client.predict(windows[i % 64], bypass_cache=True, timeout=0.03) for i in range(200)),
            return_exceptions=True,
        )
    refused = [result for result in results if isinstance(result, DeadlineError | OverloadedError)]
    answered = [result for result in results if isinstance(result, Prediction)]
    assert len(refused) + len(answered) == 200
    assert refused
    reasons = {error.reason for error in refused}
    assert reasons <= {"PREDICTED_DEADLINE_MISS", "EXPIRED_IN_QUEUE", "EXPIRED_IN_EXECUTION", ""}
    assert all(answer.execution.deadline_slack > 0 for answer in answered)


async def test_cancelling_disturbs_nobody(service: Service, windows: FloatArray, expected: ModelOutputs) -> None:
    """A caller that gives up never touches its neighbours."""
    async with AsyncClient(service.target) as client:
        calls = [asyncio.create_task(client.predict(windows[i], timeout=30)) for i in range(64)]
        await asyncio.sleep(0)
        for call in calls[::2]:
            call.cancel()
        results = await asyncio.gather(*calls, return_exceptions=True)
    assert all(isinstance(result, asyncio.CancelledError) for result in results[::2])
    for index in range(1, 64, 2):
        result = results[index]
        assert isinstance(result, Prediction), result
        assert_close(result, expected, index)
