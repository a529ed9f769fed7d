"""The old service and the new one over one model: the same bodies, and answers that callers cannot tell apart."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from fastapi import FastAPI

from server.config.settings import Settings
from server.http.http_call import ApiSource
from server.migration.original_answers import BATCH, PREDICT, SINGLE, differences, results_of
from tests.support.http_api import api_app, nested, post
from tests.support.http_calls import fetch
from tests.support.legacy.alone import Direct
from tests.support.legacy.gateway import build_gateway
from tests.support.legacy.predictor import OldPredictor
from tests.support.registry import make_registry, real_windows
from tests.support.service import serving, settings_for

pytestmark = pytest.mark.asyncio(loop_scope="module")
BODIES = {
    PREDICT: {"data": [nested(3)]},
    SINGLE: {"data": nested(4), "priority": "high"},
    BATCH: {"requests": [nested(5), nested(6)]},
}
TOLERANCE = 1e-4


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The model of both."""
    real_windows()
    return make_registry(tmp_path_factory.mktemp("registry"), versions=1)


@pytest.fixture(scope="module")
def settings(registry: Path) -> Settings:
    """Of the new service."""
    return settings_for(registry)


@pytest.fixture(scope="module")
def old(registry: Path) -> FastAPI:
    """The old service."""
    direct = Direct(OldPredictor(str(registry)))
    return build_gateway(direct, direct)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def new(settings: Settings) -> AsyncIterator[FastAPI]:
    """The HTTP side of a replica."""
    async with serving(settings) as running:
        yield api_app(ApiSource(dispatcher=running.replica.dispatcher, settings=running.settings))


def form(value: Any) -> Any:
    """Returns a body with its members in their order, and kinds in place of values; whole numbers count as numbers."""
    if isinstance(value, dict):
        return [(name, form(each)) for name, each in value.items()]
    if isinstance(value, list):
        return [form(each) for each in value]
    return "number" if isinstance(value, int | float) and not isinstance(value, bool) else type(value).__name__


@pytest.mark.parametrize("path", BODIES)
async def test_the_same_body_is_answered_alike(old: FastAPI, new: FastAPI, path: str) -> None:
    """Members, order, kinds and lengths; the numbers as far as an engine may differ."""
    theirs, ours = await post(old, path, BODIES[path]), await post(new, path, BODIES[path])
    assert (theirs.status, ours.status) == (200, 200), ours.body
    assert form(theirs.json) == form(ours.json)
    for found in differences(results_of(path, theirs.body), results_of(path, ours.body)):
        assert found.same_class
        assert found.probability < TOLERANCE
        assert found.regression < TOLERANCE


@pytest.mark.parametrize("body", [{"data": "no"}, {"datum": []}, {"data": [1.0, 2.0]}])
async def test_a_wrong_body_is_answered_by_neither(old: FastAPI, new: FastAPI, body: object) -> None:
    """Both say why as text, or with FastAPI's list; the codes differ as docs/http.md says."""
    theirs, ours = await post(old, PREDICT, body), await post(new, PREDICT, body)
    assert theirs.status in {422, 500}
    assert ours.status == 400
    assert "detail" in theirs.json
    assert isinstance(ours.json["detail"], str)


async def test_figures_have_the_same_members(old: FastAPI, new: FastAPI) -> None:
    """Those of the first document, which tells all of them."""
    theirs, ours = await fetch(old, "/ray-serve/stats"), await fetch(new, "/ray-serve/stats")
    assert form(theirs.json) == form(ours.json)


async def test_the_old_service_is_well(old: FastAPI) -> None:
    """Its health check, which the split asks for, computes and tells."""
    told = await fetch(old, "/health")
    assert told.status == 200
    assert told.json["status"] in {"healthy", "degraded"}
