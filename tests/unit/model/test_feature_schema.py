"""Laws of the feature table."""

import re
from dataclasses import replace
from pathlib import Path

import pytest

from model import feature_schema
from model.feature_schema import FEATURE_COUNT, FEATURE_NAMES, FEATURES, MAX_LOOKBACK, SCHEMA_ID
from model.features import FeatureExtractor


def test_there_are_exactly_fifty_distinct_features() -> None:
    """The table has 50 features with distinct snake-case names."""
    assert len(FEATURES) == len(set(FEATURE_NAMES)) == FEATURE_COUNT == 50
    assert all(re.fullmatch(r"[a-z][a-z0-9_]*", name) for name in FEATURE_NAMES)


def test_each_feature_is_described_and_bounded() -> None:
    """Each feature has a one-line description and a lookback within the warm-up."""
    for feature in FEATURES:
        assert feature.description.strip()
        assert "\n" not in feature.description
        assert 1 <= feature.lookback <= MAX_LOOKBACK
    assert FeatureExtractor.warmup_bars == MAX_LOOKBACK - 1 <= 64


def test_the_id_is_readable_and_follows_the_table(monkeypatch: pytest.MonkeyPatch) -> None:
    """The id is a prefix and a hash that changes with a name, a description, a lookback and the order."""
    assert re.fullmatch(r"bars-v1-[0-9a-f]{8}", SCHEMA_ID)
    assert FeatureExtractor.schema_id == SCHEMA_ID
    first, *rest = FEATURES
    variants = [
        (replace(first, name="other"), *rest),
        (replace(first, description="other"), *rest),
        (replace(first, lookback=first.lookback - 1), *rest),
        (*rest, first),
    ]
    ids = {SCHEMA_ID}
    for variant in variants:
        monkeypatch.setattr(feature_schema, "FEATURES", variant)
        ids.add(feature_schema._schema_id())
    assert len(ids) == 5


def test_the_document_lists_the_table() -> None:
    """docs/features.md is what the table generates; regenerate it with `python -m model.feature_document`."""
    from model.feature_document import feature_document

    document = Path(__file__).parents[3] / "docs" / "features.md"
    assert document.read_text() == feature_document()
