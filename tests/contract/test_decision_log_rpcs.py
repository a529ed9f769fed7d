"""The decision log behind the real services: every request leaves a record, and `tickserve replay` judges them."""

import asyncio
import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
import typer
from typer.testing import CliRunner, Result

from server.commands import replay as replay_command
from server.config.settings import Settings
from server.telemetry.decision import Decision
from server.telemetry.decision_files import decision_files
from server.telemetry.decision_log import DecisionLog
from server.telemetry.decision_reader import read_log
from tests.support import messages
from tests.support.ended_requests import TRACE_ID
from tests.support.registry import make_registry, real_windows
from tests.support.service import serving, settings_for
from tickserve.v1.prediction_service_pb2 import PredictBatchItem, StreamTicksRequest
from tickserve.v1.prediction_service_pb2_grpc import PredictionServiceStub

METADATA = (("traceparent", f"00-{TRACE_ID}-{'cd' * 8}-00"), ("x-tickserve-routing-key", "desk-7"))


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two versions."""
    return make_registry(tmp_path_factory.mktemp("registry"))


def logging_settings(registry: Path, folder: Path, **decisions: Any) -> Settings:
    """Returns settings with a decision log in a folder."""
    return settings_for(registry, decisions={"mode": "required", "path": folder} | decisions)


def decisions(folder: Path) -> list[Decision]:
    """Returns what was recorded; every bit of it must be intact."""
    found = [item for _, item in read_log(folder)]
    assert all(isinstance(item, Decision) for item in found)
    return [item for item in found if isinstance(item, Decision)]


def run_replay(*arguments: object) -> Result:
    """Runs `tickserve replay`."""
    app = typer.Typer()
    app.command()(replay_command.replay)
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


async def ask(target: str) -> None:
    """Asks in every way there is, with and without success."""
    async with grpc.aio.insecure_channel(target) as channel:
        stub = PredictionServiceStub(channel)
        await stub.Predict(messages.predict(request_id="one"), metadata=METADATA)
        await stub.Predict(messages.predict(request_id="again", window=messages.window(0)), metadata=METADATA)
        await stub.Predict(messages.predict(request_id="one"), metadata=METADATA)
        with pytest.raises(grpc.aio.AioRpcError):
            await stub.Predict(messages.predict(request_id="bad", window=messages.spoilt_window(feature_count=3)))
        items = [PredictBatchItem(request_id=f"b{n}", window=messages.window(n)) for n in (1, 2)]
        await stub.PredictBatch(messages.batch(items))
        async for _ in stub.StreamPredict(iter([messages.item("s", window=messages.window(3))])):
            pass
        async for _ in stub.StreamTicks(_ticks()):
            pass


def _ticks() -> Iterator[StreamTicksRequest]:
    yield messages.opening("EURUSD")
    yield messages.history("EURUSD", [messages.bar(number) for number in range(119)])
    yield messages.tick("EURUSD", 1, bar=messages.bar(119))


def test_every_request_leaves_a_record_that_can_be_derived_again(registry: Path, tmp_path: Path) -> None:
    """Unary, batch, streams and ticks; refused, cached and repeated ones; and all of it holds."""

    async def serve(settings: Settings) -> None:
        async with serving(settings) as service:
            await ask(service.target)

    asyncio.run(serve(logging_settings(registry, tmp_path / "log")))
    found = {item.fields["request_id"] or item.fields["kind"]: item for item in decisions(tmp_path / "log")}
    ways = {
        name: (item.fields["kind"], item.fields["outcome"], item.fields["admission"], bool(item.answer))
        for name, item in found.items()
        if name != "one"
    }
    assert ways == {
        "again": ("unary", "answered", "known", True),
        "bad": ("unary", "refused", "invalid", False),
        "b1": ("batch_item", "answered", "admitted", True),
        "b2": ("batch_item", "answered", "admitted", True),
        "s": ("stream_item", "answered", "admitted", True),
        "tick": ("tick", "answered", "admitted", True),
    }
    ones = [item for item in decisions(tmp_path / "log") if item.fields["request_id"] == "one"]
    assert [item.fields["admission"] for item in ones] == ["admitted", "known"]
    first = ones[0].fields
    assert (first["caller"], first["trace_id"], first["replica_id"]) == ("desk-7", TRACE_ID, "replica-under-test")
    assert ones[0].window == real_windows()[0].tobytes()
    assert found["bad"].fields["reason"] == "INVALID_SHAPE"
    assert found["b1"].fields["model"]["version"] == 2
    assert found["tick"].fields["symbol"] == "EURUSD"

    result = run_replay(tmp_path / "log", "--registry", registry)
    assert result.exit_code == 0, result.output
    assert "replay: ok records=8 derived=6 mismatched=0 unanswered=2" in result.output
    as_object = json.loads(run_replay(tmp_path / "log", "--registry", registry, "--json").output)
    assert (as_object["ok"], as_object["derived"], as_object["is_complete"]) == (True, 6, True)

    [path] = decision_files(tmp_path / "log")
    data = bytearray(path.read_bytes())
    data[-2] ^= 1  # the last answer's last number
    path.write_bytes(data)
    tampered = run_replay(path, "--registry", registry)
    assert tampered.exit_code == 1
    assert "damaged=1" in tampered.output
    assert "derived=5" in tampered.output


def test_required_refuses_before_it_computes(registry: Path, tmp_path: Path) -> None:
    """With a typed refusal, while the log cannot be written."""
    (tmp_path / "log").write_text("a file where the folder should be")

    async def serve(settings: Settings) -> None:
        async with serving(settings) as service, grpc.aio.insecure_channel(service.target) as channel:
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await PredictionServiceStub(channel).Predict(messages.predict())
            assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
            details = dict(caught.value.trailing_metadata() or ())["grpc-status-details-bin"]
            assert b"DECISION_LOG_UNAVAILABLE" in details
            assert service.replica.snapshot().scheduler.submitted == 0

    asyncio.run(serve(logging_settings(registry, tmp_path / "log")))


def test_best_effort_answers_whatever_becomes_of_the_log(registry: Path, tmp_path: Path) -> None:
    """And counts what is lost."""
    (tmp_path / "log").write_text("a file where the folder should be")

    async def serve(settings: Settings) -> DecisionLog | None:
        async with serving(settings) as service, grpc.aio.insecure_channel(service.target) as channel:
            await PredictionServiceStub(channel).Predict(messages.predict())
        return service.replica.telemetry.logs.decisions

    log = asyncio.run(serve(logging_settings(registry, tmp_path / "log", mode="best_effort")))
    assert log is not None
    assert (log.written_count, log.dropped_count) == (0, 1)


def test_no_log_has_a_tensor_or_a_secret(registry: Path, caplog: pytest.LogCaptureFixture) -> None:
    """At the finest level, through success and refusal of every kind of call, with credentials in the metadata."""

    async def serve(settings: Settings) -> None:
        async with serving(settings) as service, grpc.aio.insecure_channel(service.target) as channel:
            await ask(service.target)
            with pytest.raises(grpc.aio.AioRpcError):
                await PredictionServiceStub(channel).Predict(
                    messages.predict(model=messages.model("nobody")),
                    metadata=(("x-api-key", "hunter2"), ("authorization", "Bearer hunter2")),
                )

    caplog.set_level(logging.DEBUG, logger="tickserve")
    asyncio.run(serve(settings_for(registry)))
    said = "\n".join(f"{record.getMessage()} {record.__dict__}" for record in caplog.records)
    numbers = {f"{value:.4f}" for value in real_windows()[0].ravel().tolist() if abs(value) > 2}
    assert "request_refused" in said
    assert "request_answered" in said
    assert "hunter2" not in said
    assert numbers
    assert not [number for number in numbers if number in said]
    assert not [record for record in caplog.records for value in record.__dict__.values() if hasattr(value, "dtype")]


@pytest.mark.parametrize("content", [None, b"no log at all"])
def test_what_is_no_log_is_code_2(tmp_path: Path, content: bytes | None) -> None:
    """In words that name the path."""
    path = tmp_path / "decisions.log"
    if content is not None:
        path.write_bytes(content)
    result = run_replay(path, "--registry", tmp_path)
    assert result.exit_code == 2
    assert "decisions.log" in result.output
