"""Laws of a replay: an answer holds only if its recorded input gives it, on the version that is named, by its hash."""

import struct
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from model.engine import create_engine
from model.outputs import OUTPUT_NAMES
from model.registry import Registry
from server.models.served_model import ServedModel
from server.observation.request_record import RequestRecord
from server.telemetry.decision import decision_of
from server.telemetry.decision_files import DecisionFiles, decision_files
from server.telemetry.decision_frame import encode
from server.telemetry.decision_models import DecisionModels
from server.telemetry.decision_reader import UnreadableLogError, read_log
from server.telemetry.decision_replay import ReplayReport, replay
from tests.support.ended_requests import answered, refused
from tests.support.registry import NAME, make_registry, real_windows


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two versions."""
    return make_registry(tmp_path_factory.mktemp("registry"))


@pytest.fixture(scope="module")
def served(registry: Path) -> dict[int, ServedModel]:
    """Both of them, as a replica would serve them."""
    models = {}
    for version in (1, 2):
        loaded = Registry(registry).load(NAME, version)
        models[version] = ServedModel(
            name=NAME,
            version=version,
            sha256=loaded.sha256,
            config=loaded.config,
            engine=create_engine(loaded, "torchscript", "fp32"),
            warm_up={},
            lower=np.full((50, 1), -1e9, np.float32),
            upper=np.full((50, 1), 1e9, np.float32),
        )
    return models


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """Writes records to a log, and returns its folder."""

    def written(*records: RequestRecord) -> Path:
        files = DecisionFiles(tmp_path / "log", replica_id="r", max_bytes=10**9, files=2, fsync=False)
        for record in records:
            files.append(encode(decision_of(record, replica_id="r", wall_offset=0.0)))
        files.close()
        return tmp_path / "log"

    return written


def judged(log: Path, registry: Path, **options: Any) -> ReplayReport:
    """Returns what a replay finds."""
    return replay(read_log(log), DecisionModels(Registry(registry)), **options)


def answers(model: ServedModel, count: int = 3, *, batch: int = 4) -> Iterator[RequestRecord]:
    """Yields requests that were answered together with others, as batches are."""
    rows = model.engine.run(real_windows()[: count + batch].copy())
    for index in range(count):
        yield answered(window=real_windows()[index], model=model, row=rows.row(index))


def test_what_was_answered_is_derived_again(
    write: Callable[..., Path], registry: Path, served: dict[int, ServedModel]
) -> None:
    """From the input alone, whatever it was batched with; what had no answer is counted."""
    log = write(*answers(served[1]), refused(), *answers(served[2]), answered(answer=None, is_replay=True))
    report = judged(log, registry)
    assert report.holds
    assert (report.records, report.derived, report.unanswered, report.mismatched) == (8, 6, 2, 0)
    assert 0 <= report.worst["share_of_tolerance"] < 1
    assert report.on_other_engine == 0


def test_a_changed_byte_of_an_answer_is_found(
    write: Callable[..., Path], registry: Path, served: dict[int, ServedModel]
) -> None:
    """By the checksum, as damage; the records around it are still derived."""
    log = write(*answers(served[1]))
    [path] = decision_files(log)
    data = bytearray(path.read_bytes())
    data[len(data) // 3 * 2 - 100] ^= 1
    path.write_bytes(data)
    report = judged(log, registry)
    assert not report.holds
    assert (report.damaged, report.derived, report.mismatched) == (1, 2, 0)


@pytest.mark.parametrize("name", OUTPUT_NAMES)
def test_a_forged_answer_is_found(
    write: Callable[..., Path], registry: Path, served: dict[int, ServedModel], name: str
) -> None:
    """Any number of it, though whoever changed it made the checksum fit: the input gives another one."""
    log = write(*answers(served[1]))
    [path] = decision_files(log)
    _forge(path, record=1, name=name)
    report = judged(log, registry)
    assert not report.holds
    assert (report.damaged, report.derived, report.mismatched) == (0, 3, 1)
    assert report.mismatches[0].fields["request_id"] == "r-1"
    assert report.worst["share_of_tolerance"] > 1


def test_a_forged_input_is_found(write: Callable[..., Path], registry: Path, served: dict[int, ServedModel]) -> None:
    """It is no longer the one that was hashed when it was answered."""
    log = write(*answers(served[1]))
    [path] = decision_files(log)
    _forge(path, record=0, name="window")
    report = judged(log, registry)
    assert report.mismatched == 1
    assert "window" in report.mismatches[0].reason


def test_another_versions_answer_is_found(
    write: Callable[..., Path], registry: Path, served: dict[int, ServedModel]
) -> None:
    """An answer that version 2 gave in the name of version 1."""
    row = served[2].engine.run(real_windows()[:1].copy()).row(0)
    report = judged(write(answered(model=served[1], row=row)), registry)
    assert (report.derived, report.mismatched, report.holds) == (1, 1, False)


def test_other_weights_under_the_same_number_derive_nothing(
    write: Callable[..., Path], registry: Path, served: dict[int, ServedModel], tmp_path: Path
) -> None:
    """The hash decides, not the number; a version that is gone is named."""
    log = write(*answers(served[1]), *answers(served[2]))
    other = make_registry(tmp_path / "other", versions=1)
    # The same seed makes the same version 1: give its number other weights.
    (other / NAME / "1").rename(other / NAME / "kept")
    (other / NAME / "1").mkdir()
    for file in (registry / NAME / "2").iterdir():
        (other / NAME / "1" / file.name).write_bytes(file.read_bytes())
    report = judged(log, other)
    assert not report.holds
    assert (report.derived, report.mismatched) == (0, 0)
    assert report.not_derived == {
        "model cnn_lstm version 1 has other weights in this registry than those that answered": 3,
        "model cnn_lstm version 2 is not in the registry": 3,
    }


def test_a_missing_engine_is_stood_in_for_by_the_eager_network(
    write: Callable[..., Path], registry: Path, served: dict[int, ServedModel], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The tolerance is the one of the precision that answered; the report says so."""
    log = write(*answers(served[1]))
    monkeypatch.setattr("model.engine_plan.why_no_cuda", lambda: "there is no GPU")
    _replace(next(iter(decision_files(log))), b'"name":"torchscript"', b'"name":"cuda"')
    report = judged(log, registry)
    assert report.holds
    assert (report.derived, report.on_other_engine) == (3, 3)


def test_everything_can_be_derived_on_the_eager_network(
    write: Callable[..., Path], registry: Path, served: dict[int, ServedModel]
) -> None:
    """Whoever trusts no engine holds the answers to the network as it is written."""
    report = replay(read_log(write(*answers(served[1]))), DecisionModels(Registry(registry), is_eager=True))
    assert (report.holds, report.on_other_engine) == (True, 3)


def test_a_limit_is_a_number_of_answers(
    write: Callable[..., Path], registry: Path, served: dict[int, ServedModel]
) -> None:
    """The report says that there is more."""
    log = write(*answers(served[1]))
    report = judged(log, registry, limit=2)
    assert (report.derived, report.is_complete) == (2, False)
    assert judged(log, registry, limit=3).is_complete


def test_an_unfinished_record_is_no_fault(
    write: Callable[..., Path], registry: Path, served: dict[int, ServedModel]
) -> None:
    """It is what a killed process leaves; all before it holds."""
    log = write(*answers(served[1]))
    [path] = decision_files(log)
    path.write_bytes(path.read_bytes()[:-500])
    report = judged(log, registry)
    assert report.holds
    assert (report.derived, report.unfinished, report.damaged) == (2, 1, 0)


def test_what_is_no_log_is_told(tmp_path: Path) -> None:
    """With its path and the remedy."""
    (tmp_path / "empty").mkdir()
    for path in (tmp_path / "none", tmp_path / "empty"):
        with pytest.raises(UnreadableLogError, match=str(path)):
            list(read_log(path))
    (tmp_path / "nothing.log").write_bytes(b"")
    assert list(read_log(tmp_path / "nothing.log")) == []


def _forge(path: Path, *, record: int, name: str) -> None:
    """Changes the first number of one part of a record, and makes the checksum fit."""
    data = bytearray(path.read_bytes())
    begin = 0
    for _ in range(record):
        begin += 16 + struct.unpack_from("<I", data, begin + 8)[0]
    (length,) = struct.unpack_from("<I", data, begin + 8)
    (header,) = struct.unpack_from("<I", data, begin + 16)
    at = begin + 16 + 4 + header
    if name != "window":
        sizes = [3, 2, 2, 3, 2, 2, 5]
        at += 12_000 + 4 * sum(sizes[: OUTPUT_NAMES.index(name)])
    struct.pack_into("<f", data, at, struct.unpack_from("<f", data, at)[0] + 0.25)
    _seal(data, begin, length)
    path.write_bytes(data)


def _replace(path: Path, old: bytes, new: bytes) -> None:
    """Replaces words of every record's header, and makes lengths and checksums fit."""
    data, result, begin = path.read_bytes(), bytearray(), 0
    while begin < len(data):
        (length,) = struct.unpack_from("<I", data, begin + 8)
        payload = data[begin + 16 : begin + 16 + length]
        (size,) = struct.unpack_from("<I", payload)
        header = payload[4 : 4 + size].replace(old, new)
        payload = struct.pack("<I", len(header)) + header + payload[4 + size :]
        frame = bytearray(data[begin : begin + 8] + struct.pack("<II", len(payload), 0) + payload)
        _seal(frame, 0, len(payload))
        result += frame
        begin += 16 + length
    path.write_bytes(result)


def _seal(data: bytearray, begin: int, length: int) -> None:
    payload = bytes(data[begin + 16 : begin + 16 + length])
    struct.pack_into("<I", data, begin + 12, zlib.crc32(payload, zlib.crc32(struct.pack("<I", length))))
