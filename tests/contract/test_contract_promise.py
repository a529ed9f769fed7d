"""The contract goes on being what was promised, and what breaks it is found."""

import shutil
import subprocess
from pathlib import Path

import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorSet

from scripts.baseline import BASELINE, additions, breaks, elements, read_baseline, read_contract
from scripts.protos import PACKAGE, PROTOS, ROOT

BUF = ROOT / "node_modules/.bin/buf"


@pytest.fixture(scope="module")
def promised() -> FileDescriptorSet:
    """What was promised."""
    return read_baseline()


def changed(folder: Path, file: str, old: str, new: str) -> FileDescriptorSet:
    """Compiles the contract with one text in it replaced."""
    copy = folder / "protos"
    shutil.copytree(PROTOS, copy)
    path = copy / PACKAGE / file
    text = path.read_text(encoding="utf-8")
    assert text.count(old) == 1
    path.write_text(text.replace(old, new), encoding="utf-8")
    return read_contract(copy)


def test_the_contract_keeps_its_promise(promised: FileDescriptorSet) -> None:
    """Nothing that was promised is gone or has become something else."""
    assert breaks(promised, read_contract()) == []


def test_the_promise_reaches_every_kind_of_element(promised: FileDescriptorSet) -> None:
    """Else it could be kept by promising nothing."""
    found = elements(promised)
    file = "tickserve/v1/prediction_service.proto"
    assert found[f"{file}: PredictionService.StreamTicks"] == (
        "rpc (stream .tickserve.v1.StreamTicksRequest) returns (stream .tickserve.v1.StreamTicksResponse)"
    )
    assert found[f"{file}: PredictRequest.1"] == "optional string request_id"
    assert found["tickserve/v1/priority.proto: Priority.1"] == "PRIORITY_REAL_TIME"
    assert found["tickserve/v1/window.proto"] == "package tickserve.v1"
    assert not [path for path in found if not path.startswith(PACKAGE.as_posix())]


@pytest.mark.parametrize(
    ("file", "old", "new", "line"),
    [
        (
            "window.proto",
            "string feature_schema = 1;",
            "string schema = 1;",
            (
                "changed: tickserve/v1/window.proto: Window.1: "
                "optional string feature_schema is now optional string schema"
            ),
        ),
        (
            "window.proto",
            "string feature_schema = 1;",
            "bytes feature_schema = 1;",
            (
                "changed: tickserve/v1/window.proto: Window.1: "
                "optional string feature_schema is now optional bytes feature_schema"
            ),
        ),
        (
            "window.proto",
            "string feature_schema = 1;",
            "string feature_schema = 101;",
            "gone: tickserve/v1/window.proto: Window.1 (optional string feature_schema)",
        ),
        (
            "priority.proto",
            "PRIORITY_REAL_TIME = 1;",
            "PRIORITY_URGENT = 1;",
            "changed: tickserve/v1/priority.proto: Priority.1: PRIORITY_REAL_TIME is now PRIORITY_URGENT",
        ),
        (
            "model_service.proto",
            "rpc GetModel(GetModelRequest)",
            "rpc FindModel(GetModelRequest)",
            (
                "gone: tickserve/v1/model_service.proto: ModelService.GetModel "
                "(rpc (.tickserve.v1.GetModelRequest) returns (.tickserve.v1.GetModelResponse))"
            ),
        ),
    ],
    ids=["name", "type", "number", "enum value", "method"],
)
def test_what_breaks_callers_is_found(
    promised: FileDescriptorSet, tmp_path: Path, file: str, old: str, new: str, line: str
) -> None:
    """A renamed, retyped, renumbered or removed element is named, and nothing else."""
    assert breaks(promised, changed(tmp_path, file, old, new)) == [line]


def test_an_addition_breaks_nobody(promised: FileDescriptorSet, tmp_path: Path) -> None:
    """A new field is fine, and is told as one that is not promised yet."""
    field = "string feature_schema = 1;"
    actual = changed(tmp_path, "window.proto", field, f"{field}\n  string colour = 99;")
    assert breaks(promised, actual) == []
    assert "not promised yet: tickserve/v1/window.proto: Window.99" in additions(promised, actual)


@pytest.mark.skipif(not BUF.exists(), reason="buf comes with npm, by `make lint`")
def test_buf_is_asked_the_same(tmp_path: Path) -> None:
    """Buf's own rules fail on the same change, so the set that it is given is one that it can judge by."""
    broken = tmp_path / "broken.binpb"
    actual = changed(tmp_path, "window.proto", "string feature_schema = 1;", "bytes feature_schema = 1;")
    broken.write_bytes(actual.SerializeToString())
    command = [str(BUF), "breaking", str(broken), "--against", str(BASELINE), "--exclude-imports"]
    told = subprocess.run(
        [*command, "--config", str(ROOT / "buf.yaml")], capture_output=True, text=True, check=False, cwd=tmp_path
    )
    assert told.returncode != 0
    assert "feature_schema" in told.stdout
