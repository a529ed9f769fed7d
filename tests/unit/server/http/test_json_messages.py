"""Laws of JSON bodies: what protobuf's own mapping reads is read the same, and nothing else is."""

import asyncio
import base64
import contextlib
import json
from typing import Any

import numpy as np
import pytest
from google.protobuf import json_format
from hypothesis import given, settings
from hypothesis import strategies as st

from server.http.json_messages import batch_document, document_of, read_batch, read_predict
from server.refusal import Reason, Refusal
from tests.support.http_api import window
from tests.support.registry import real_windows
from tickserve.v1 import prediction_service_pb2 as pb

RAW = base64.b64encode(real_windows()[0].tobytes()).decode()
FULL: dict[str, Any] = {
    "requestId": "a",
    "model": {"name": "cnn_lstm", "version": "2"},
    "window": window(asOfTime="2026-01-02T03:04:05Z"),
    "priority": "PRIORITY_REAL_TIME",
    "timeout": "0.050s",
    "options": {"useEnsemble": False, "returnFeatures": True},
    "maxAge": "3600s",
}


def batch_of(*items: object, **fields: object) -> bytes:
    """Returns the body of a batch."""
    return json.dumps({"items": items, **fields}).encode()


async def refused(body: bytes, *, batch: bool = False) -> Refusal:
    """Returns how a body is refused."""
    with pytest.raises(Refusal) as caught:
        await (read_batch(body) if batch else read_predict(body))
    return caught.value


@pytest.mark.parametrize(
    "document",
    [
        FULL,
        {"window": window(values=None, rawFloat32=RAW)},
        {"symbol": "EURUSD", "priority": 3},
        {"request_id": "a", "window": {"feature_count": 1, "values": {"values": [1, 2.5, -0.0]}}},
        {"window": {"featureCount": "50", "values": {"values": []}}},
        {"window": {"values": None}, "model": None},
        {},
    ],
)
async def test_reads_what_protobuf_reads(document: dict[str, Any]) -> None:
    """Numbers take a way of their own, to the same message."""
    expected = json_format.ParseDict(document, pb.PredictRequest())
    assert pb.PredictRequest.FromString(await read_predict(json.dumps(document).encode())) == expected


async def test_numbers_keep_every_bit() -> None:
    """A window written with enough digits is the window that was meant."""
    request = pb.PredictRequest.FromString(await read_predict(json.dumps({"window": window(3)}).encode()))
    assert np.array(request.window.values.values, np.float32).tobytes() == real_windows()[3].tobytes()


async def test_a_plain_list_of_numbers_is_read() -> None:
    """It is easier to write by hand."""
    request = pb.PredictRequest.FromString(await read_predict(b'{"window": {"values": [1, 2.5]}}'))
    assert list(request.window.values.values) == [1.0, 2.5]


@pytest.mark.parametrize(
    ("body", "reason", "words"),
    [
        (b'{"window": {"values": [1, NaN]}}', Reason.NON_FINITE_VALUE, "NaN"),
        (b'{"window": {"values": [-Infinity]}}', Reason.NON_FINITE_VALUE, "Infinity"),
        (b'{"window": {"values": [1e999]}}', Reason.NON_FINITE_VALUE, "too large"),
        (b'{"requestId": "NaN", ', Reason.MALFORMED_MESSAGE, "truncated"),
        (b'{"window": {"values": [true]}}', Reason.MALFORMED_MESSAGE, "numbers only"),
        (b'{"window": {"values": ["NaN"]}}', Reason.MALFORMED_MESSAGE, "numbers only"),
        (b'{"window": {"values": [null]}}', Reason.MALFORMED_MESSAGE, "numbers only"),
        (b'{"window": {"values": [[1]]}}', Reason.MALFORMED_MESSAGE, "numbers only"),
        (b'{"window": {"values": 1}}', Reason.MALFORMED_MESSAGE, "values"),
        (b'{"window": {"values": [1], "rawFloat32": ""}}', Reason.MALFORMED_MESSAGE, "oneof"),
        (b'{"windows": {}}', Reason.MALFORMED_MESSAGE, "windows"),
        (b'{"priority": "URGENT"}', Reason.MALFORMED_MESSAGE, "priority"),
        (b'{"timeout": 5}', Reason.MALFORMED_MESSAGE, "timeout"),
        (b'{"window": {}, "symbol": ""}', Reason.MALFORMED_MESSAGE, "oneof"),
        (b"[]", Reason.MALFORMED_MESSAGE, "object"),
        (b"", Reason.MALFORMED_MESSAGE, "truncated"),
        (b"\xff", Reason.MALFORMED_MESSAGE, "invalid"),
        (b"[" * 100_000, Reason.MALFORMED_MESSAGE, ""),
        (b'{"a":' * 5_000 + b"1" + b"}" * 5_000, Reason.MALFORMED_MESSAGE, "deep"),
    ],
)
async def test_all_else_is_refused(body: bytes, reason: Reason, words: str) -> None:
    """With a typed reason, in words about the body."""
    refusal = await refused(body)
    assert refusal.reason is reason
    assert words in refusal.message


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (b'{"window": [1]}', "window"),
        (b'{"window": {"featureCount": 1, "asOfTime": "today"}}', "window.asOfTime"),
        (b'{"model": {"version": {}}}', "model.version"),
        (b'{"timeout": "5 minutes", "priority": "PRIORITY_STANDARD"}', "timeout"),
        (b'{"options": {"useEnsemble": "yes"}}', "options.useEnsemble"),
        (b'{"window": {}, "symbol": ""}', ""),
    ],
)
async def test_the_member_to_blame_is_named(body: bytes, field: str) -> None:
    """By its path, unless each is well by itself."""
    assert (await refused(body)).field == field


async def test_a_refusal_is_short() -> None:
    """What was sent is not sent back."""
    refusal = await refused(json.dumps({"x" * 10_000: 1}).encode())
    assert len(refusal.message) < 400


@pytest.mark.parametrize("count", [2, 8])
async def test_a_batch_reads_as_protobuf_does_whatever_its_size(count: int) -> None:
    """A long body is read item by item, a short one at once."""
    items = [{"requestId": str(n), "window": window(n)} for n in range(count)]
    fields: dict[str, Any] = {"priority": "PRIORITY_BACKGROUND", "timeout": "1s", "options": {"bypassCache": True}}
    expected = json_format.ParseDict({"items": items, **fields}, pb.PredictBatchRequest())
    assert pb.PredictBatchRequest.FromString(await read_batch(batch_of(*items, **fields))) == expected


@pytest.mark.parametrize("padding", ["", " " * 70_000])
async def test_a_batch_names_the_item_to_blame(padding: str) -> None:
    """And the member in it, also where the body is long."""
    body = batch_of({"window": {"values": [1]}}, {"window": {"values": ["1"]}}) + padding.encode()
    assert (await refused(body, batch=True)).field == "items[1].window.values"
    assert (await refused(batch_of({}, [], 1) + padding.encode(), batch=True)).field == "items[1]"
    assert (await refused(b'{"items": {}}' + padding.encode(), batch=True)).reason is Reason.MALFORMED_MESSAGE
    assert (await refused(b'{"item": []}' + padding.encode(), batch=True)).reason is Reason.MALFORMED_MESSAGE


async def test_a_batch_without_items_is_read() -> None:
    """Whether that will do is not decided here."""
    for body in (b"{}", b'{"items": null}', b'{"items": []}', b"{}" + b" " * 70_000):
        assert await read_batch(body) == b""


def test_an_answer_has_its_zeros() -> None:
    """A member is missing only where it is a message, or a choice, that is not set; 64 bits are text."""
    response = pb.PredictResponse(request_id="a")
    response.prediction.model.version = 7
    document = document_of(response)
    assert document["requestId"] == "a"
    assert document["prediction"]["model"] == {"name": "", "version": "7", "sha256": ""}
    assert document["prediction"]["features"] == []
    assert "ensemble" not in document["prediction"]


async def test_a_batchs_answer_is_protobufs() -> None:
    """Results one by one are the results at once."""
    results = [pb.PredictBatchResult(request_id=name) for name in "ab"]
    results[0].prediction.model.version = 7
    response = pb.PredictBatchResponse(results=results)
    assert await batch_document(response) == document_of(response)


@settings(max_examples=50, deadline=None)
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["window", "values", "items", "rawFloat32", "timeout", "priority", "model", "x"]), inner
            )
        ),
        max_leaves=8,
    )
)
def test_no_document_breaks_the_reader(document: object) -> None:
    """Whatever it holds, it is a message or a refusal."""
    for read in (read_predict, read_batch):
        with contextlib.suppress(Refusal):
            assert isinstance(asyncio.run(read(json.dumps(document).encode())), bytes)
