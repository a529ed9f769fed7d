"""Laws of config.json: it survives the round trip, and what is wrong is refused by the field's name."""

import dataclasses
import json
from typing import Any

import pytest

from model.errors import ConfigError
from model.model_config import FeatureRange, ModelConfig, NetworkConfig, Normalisation

CONFIG = ModelConfig(
    network=NetworkConfig(),
    feature_schema="bars50/1",
    bar_interval_seconds=3600,
    prediction_horizon=6,
    feature_normalisation=Normalisation(mean=(0.1,) * 50, standard_deviation=(0.3,) * 50, clip=8),
    target_normalisation=Normalisation(mean=(1e-5, 2e-3), standard_deviation=(1e-3, 1e-3)),
    class_thresholds=(-1e-4, 1e-4),
    feature_range=FeatureRange(lower=(0.0,) * 50, upper=(1.0,) * 50),
    training={"accuracy": 0.35, "baseline": {"accuracy": 0.34}},
    sha256="0" * 64,
    golden_sha256="1" * 64,
)


def test_round_trip() -> None:
    """What was written is read back equal, lists as tuples and every float to the last bit."""
    assert ModelConfig.from_json(CONFIG.to_json()) == CONFIG


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("format_version", 2),
        ("feature_schema", ""),
        ("feature_schema", "a b"),
        ("bar_interval_seconds", 0),
        ("bar_interval_seconds", "3600"),
        ("prediction_horizon", 0),
        ("prediction_horizon", True),
        ("class_thresholds", [1e-4, 1e-4]),
        ("class_thresholds", [0.0]),
        ("class_thresholds[1]", [0.0, "a"]),
        ("training", []),
        ("sha256", "abc"),
        ("sha256", None),
        ("network", []),
        ("network.feature_count", 0),
        ("network.feature_count", 10**9),
        ("network.cnn_filters", 1.5),
        ("network.kernel_sizes", [3, 4]),
        ("network.kernel_sizes", []),
        ("network.kernel_sizes", 3),
        ("network.attention_heads", 7),
        ("network.fusion", 128),
        ("network.dropout", 0),
        ("network.dropout", 1),
        ("network.class_labels", ["buy", "buy", "hold"]),
        ("network.class_labels", ["buy"]),
        ("network.class_labels[0]", [""]),
        ("network.positive_regressions", ["volume"]),
        ("network.monte_carlo_seed", -1),
        ("feature_normalisation", None),
        ("feature_normalisation.mean", [0.0] * 49),
        ("feature_normalisation.clip", None),
        ("feature_normalisation.clip", -1),
        ("feature_normalisation.standard_deviation[0]", [0.0] * 50),
        ("target_normalisation.mean", [0.0]),
        ("target_normalisation.mean[1]", [0.0, float("nan")]),
        ("target_normalisation.mean[0]", [10**400, 0.0]),
        ("network.lstm_layers", 65),
        ("network.kernel_sizes", [3] * 33),
        ("golden_sha256", "abc"),
        ("feature_range", []),
        ("feature_range.lower", [0.0] * 49),
        ("feature_range.upper", [1.0] * 49),
        ("feature_range.upper[7]", [1.0] * 7 + [-1.0] + [1.0] * 42),
        ("feature_range.lower[0]", ["0"] + [0.0] * 49),
    ],
)
def test_wrong_value_is_refused_by_name(path: str, value: Any) -> None:
    """A wrong value anywhere is a ConfigError that names the field, or the item in it, by its path."""
    values = json.loads(CONFIG.to_json())
    *folders, name = path.split("[")[0].split(".")
    place = values
    for folder in folders:
        place = place[folder]
    place[name] = value
    with pytest.raises(ConfigError) as caught:
        ModelConfig.from_json(json.dumps(values))
    field = caught.value.field
    # Two columns of unequal length may be laid at either's door.
    others = (path.replace("mean", "standard_deviation"), path.replace("lower", "upper"))
    assert field == path or field in others
    assert field in str(caught.value)


@pytest.mark.parametrize("absent", [None, "left out"])
def test_what_older_files_lack_may_be_absent(absent: str | None) -> None:
    """Without a range and golden windows, or with null for the range, a file is read; such a config writes neither."""
    values = json.loads(CONFIG.to_json())
    del values["golden_sha256"], values["feature_range"]
    if absent is None:
        values["feature_range"] = None
    config = ModelConfig.from_json(json.dumps(values))
    assert config == dataclasses.replace(CONFIG, feature_range=None, golden_sha256="")
    assert not {"feature_range", "golden_sha256"} & set(json.loads(config.to_json()))


@pytest.mark.parametrize("path", ["network", "class_thresholds", "target_normalisation.mean"])
def test_missing_field_is_refused_by_name(path: str) -> None:
    """A field without a default cannot be left out."""
    values = json.loads(CONFIG.to_json())
    *folders, name = path.split(".")
    place = values
    for folder in folders:
        place = place[folder]
    del place[name]
    with pytest.raises(ConfigError, match="missing") as caught:
        ModelConfig.from_json(json.dumps(values))
    assert caught.value.field == path


@pytest.mark.parametrize("path", ["colour", "network.colour"])
def test_unknown_field_is_refused_by_name(path: str) -> None:
    """A field we do not know may be a misspelt one, so it is not ignored."""
    values = json.loads(CONFIG.to_json())
    (values["network"] if "." in path else values)["colour"] = 1
    with pytest.raises(ConfigError, match="unknown") as caught:
        ModelConfig.from_json(json.dumps(values))
    assert caught.value.field == path


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "[" * 100_000], ids=["empty", "cut", "list", "null", "deep"])
def test_not_a_config_at_all(text: str) -> None:
    """Text that is not a JSON object is a ConfigError, not a crash."""
    with pytest.raises(ConfigError):
        ModelConfig.from_json(text)


def test_metrics_that_json_cannot_hold_are_refused() -> None:
    """A NaN among the metrics is refused on writing: JSON has no NaN, and other readers would choke."""
    with pytest.raises(ConfigError, match="training"):
        dataclasses.replace(CONFIG, training={"loss": float("nan")}).to_json()
