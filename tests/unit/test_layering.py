"""The import rules of the source tree hold, and each of them can fail."""

from pathlib import Path

import pytest

from scripts.layering import MAX_LINES, PACKAGES, check, source_files, violations


def test_the_tree_keeps_the_rules() -> None:
    """No file of ours breaks an import rule or the limit of its size."""
    assert check() == []


def test_every_package_is_looked_at() -> None:
    """The check reads files of each package, and no generated ones."""
    paths = list(source_files())
    for folder in PACKAGES.values():
        assert any(path.startswith(f"{folder}/") for path in paths)
    assert not [path for path in paths if path.endswith(("_pb2.py", "_pb2_grpc.py"))]


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("batching/queue.py", "import numpy"),
        ("batching/queue.py", "from model.network import Network"),
        ("batching/queue.py", "from tickserve import v1"),
        ("batching/queue.py", "def late():\n    import server.config.settings"),
        ("model/engine.py", "from batching import Scheduler"),
        ("model/engine.py", "import grpc"),
        ("model/engine.py", "import importlib\nimportlib.import_module('server.app')"),
        ("clients/python/tickserve/client.py", "import model.features"),
        ("clients/python/tickserve/cli/predict.py", "from server.config import settings"),
        ("clients/python/tickserve/cli/predict.py", "from batching import Priority"),
        ("server/rpc/ingress.py", "import ray"),
        ("server/refusal.py", "from server.config.settings import Settings"),
        ("server/windows/window_store.py", "from server.ticks import tick_session"),
        ("server/rpc/encode.py", "from server.replica import Replica"),
        ("server/replica.py", "from redis.asyncio import Redis"),
        ("server/commands/serve.py", "from ray import serve"),
        ("server/deployment.py", "from opentelemetry import trace"),
        ("server/deployment.py", "import prometheus_client as prometheus"),
        ("server/deployment.py", "import torch"),
        ("server/deployment.py", "from tickserve.v1 import window_pb2"),
        ("server/deployment.py", "from tickserve import v1"),
        ("server/config/settings.py", "if TYPE_CHECKING:\n    from tickserve.v1 import window_pb2"),
    ],
)
def test_a_forbidden_import_is_found(path: str, source: str) -> None:
    """Each rule names the file that breaks it, wherever in the file the import stands."""
    assert {line.partition(":")[0] for line in violations(path, source)} == {path}


@pytest.mark.parametrize(
    ("path", "source"),
    [
        (
            "batching/queue.py",
            "import heapq\nfrom collections.abc import Callable\nfrom batching.request import Request",
        ),
        ("batching/queue.py", "from .request import Request"),
        ("model/engine.py", "import torch\nfrom model.network import Network"),
        ("clients/python/tickserve/client.py", "import grpc\nfrom tickserve.v1 import window_pb2"),
        ("clients/python/tickserve/cli/predict.py", "from ..window import Window\nfrom . import tables"),
        ("server/deployment.py", "from ray import serve\nfrom batching import Scheduler\nimport model.registry"),
        ("server/rpc/prediction_service.py", "from tickserve.v1 import prediction_pb2"),
        ("server/config/settings.py", "import rayleigh\nimport tickserve.priority"),
    ],
)
def test_an_allowed_import_is_not(path: str, source: str) -> None:
    """Inward imports, libraries at their edge, and names that only look alike pass."""
    assert violations(path, source) == []


@pytest.mark.parametrize(("extra", "found"), [(0, 0), (1, 1)])
def test_a_file_over_the_limit_is_found(tmp_path: Path, extra: int, found: int) -> None:
    """A file of the greatest allowed length passes, one line more does not."""
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "long.py").write_text("x = 1\n" * (MAX_LINES + extra), encoding="utf-8")
    assert len(check(tmp_path)) == found
