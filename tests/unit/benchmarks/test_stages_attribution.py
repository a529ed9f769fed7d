"""Laws of the profile: each sample belongs to one part, the innermost one that has an owner."""

import pytest

from benchmarks.stages.attribution import COMPILED, ENGINE_THREAD, LOOP_THREAD, RAY, by_part, part_of
from scripts.layering import source_files

_LOOP = ["Thread._bootstrap (threading.py:1002)", "Thread.run (threading.py:982)"]
_SERVE = "Replica._direct_ingress_unary_unary (ray/serve/_private/replica.py:2961)"
_PREDICT = "PredictionService.predict (server/rpc/prediction_service.py:97)"
_WRITE = "write_prediction (server/rpc/encode.py:40)"


def line(*frames: str, thread: str = LOOP_THREAD, count: int = 1) -> str:
    """Returns one line as py-spy writes it."""
    return ";".join([f"thread (31859): {thread}", *_LOOP, *frames]) + f" {count}"


@pytest.mark.parametrize(
    ("frames", "part"),
    [
        ([], COMPILED),
        ([_SERVE], RAY),
        ([_SERVE, _PREDICT], "tickserve: service"),
        ([_SERVE, _PREDICT, _WRITE], "tickserve: encode"),
        ([_SERVE, _PREDICT, "Scheduler.submit (batching/scheduler.py:97)"], "tickserve: scheduler"),
        # The standard library's and numpy's time is their caller's.
        ([_SERVE, _PREDICT, _WRITE, "_all (numpy/_core/_methods.py:67)"], "tickserve: encode"),
        ([_SERVE, "__init__ (dataclasses.py:3)"], RAY),
        ([_SERVE, _PREDICT, "Histogram.observe (ray/serve/metrics.py:1)"], RAY),
        # One that is not told apart is ours all the same.
        ([_PREDICT, "WindowStore.window (server/windows/window_store.py:80)"], "tickserve: other"),
    ],
)
def test_a_sample_belongs_to_its_innermost_owner(frames: list[str], part: str) -> None:
    """Whoever asked for the work pays for it, libraries pay for nothing."""
    assert part_of(_LOOP + frames) == part


def test_other_threads_and_broken_lines_do_not_count() -> None:
    """Samples of one thread alone are counted, by their numbers, most first."""
    lines = [
        line(_SERVE, count=3),
        line(_SERVE, _PREDICT, count=40),
        line(_SERVE, _PREDICT, thread=ENGINE_THREAD, count=500),
        "",
        "no thread;at all 7",
        line(_SERVE).removesuffix("1") + "many",
    ]
    assert list(by_part(lines).items()) == [("tickserve: service", 40), (RAY, 3)]
    assert by_part(lines, thread=ENGINE_THREAD) == {"tickserve: service": 500}


def test_every_module_of_the_server_is_ours() -> None:
    """No file of the server is taken for gRPC's compiled part."""
    ours = [path for path in source_files() if path.startswith(("server/", "batching/", "model/"))]
    assert len(ours) > 50
    assert [path for path in ours if not part_of([*_LOOP, f"f ({path}:1)"]).startswith("tickserve: ")] == []


@pytest.mark.parametrize(
    "path",
    [
        "server/rpc/decode.py",
        "server/rpc/encode.py",
        "server/inference/predictor.py",
        "server/rpc/response_stream.py",
        "server/rpc/ingress.py",
    ],
)
def test_the_parts_that_are_told_apart_are_there(path: str) -> None:
    """A module that is renamed must be renamed in the table, too."""
    assert path in set(source_files())
    assert part_of([f"function ({path}:1)"]) != "tickserve: other"
