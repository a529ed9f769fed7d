"""The committed configurations for `serve deploy` are what their settings files make, and Ray Serve reads them."""

import warnings
from pathlib import Path

import pytest
import yaml

from scripts.serve_examples import ONE_NODE, drifted, settings_of, sources
from server.config.cluster_faults import cluster_faults
from server.config.given_settings import GivenSettings

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # Ray's own, at import
    from ray.serve.schema import ServeDeploySchema


def test_there_are_examples() -> None:
    """One for a single node, one for several."""
    assert {source.stem for source in sources()} >= {"one-node", "cluster"}


def test_no_example_has_drifted() -> None:
    """`python -m scripts.serve_examples generate` makes them anew."""
    assert drifted() == []


@pytest.mark.parametrize("source", sources(), ids=lambda path: path.stem)
def test_ray_serve_reads_an_example_as_it_is_meant(source: Path) -> None:
    """By its own schema, which drops no key; what a replica then gets are the file's settings."""
    document = yaml.safe_load(source.with_suffix(".yaml").read_text(encoding="utf-8"))
    read = ServeDeploySchema.model_validate(document).model_dump(mode="json", exclude_unset=True)
    assert read == document
    settings = settings_of(source)
    assert cluster_faults(settings, one_node=source == ONE_NODE) == []
    [deployment] = document["applications"][0]["deployments"]
    received = GivenSettings(**deployment["user_config"])
    assert received.scheduler == settings.scheduler
    assert (received.registry, received.windows) == (settings.registry, settings.windows)


def test_the_environment_has_no_say(monkeypatch: pytest.MonkeyPatch) -> None:
    """Examples are the same wherever they are made."""
    monkeypatch.setenv("TICKSERVE_MAX_SYMBOLS", "7")
    assert settings_of(ONE_NODE).max_symbols != 7
