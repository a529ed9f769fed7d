"""What a model's `config.json` holds. Owns its fields and their validation; knows no weights and no files.

Every value is checked on construction, so a config that exists is a valid one. Wrong values raise
`ConfigError` naming the field by its path in the JSON, such as `network.kernel_sizes`.
"""

import itertools
import json
from dataclasses import asdict, dataclass, field
from typing import Any, Final, Self

from model.config_values import arguments_of, distinct_names, integer, items, number, numbers, require_count, text
from model.errors import ConfigError

FORMAT_VERSION = 1

# Each is a module of its own: so many build in a moment, and a file that asks for more is damaged.
_MOST_BRANCHES: Final = 32
_MOST_LAYERS: Final = 64


@dataclass(frozen=True, kw_only=True)
class NetworkConfig:
    """The architecture: all that decides the shapes of the weights, and the masks drawn at initialisation.

    Attributes:
        feature_count: Features per step.
        time_steps: Steps per window, oldest first.
        class_labels: Names of the classes, in the order of the probabilities.
        regression_names: Names of the regressions, in the order of the means.
        positive_regressions: Those of them that can only be positive.
        cnn_filters: Filters of each convolution; there is one convolution per kernel size.
        kernel_sizes: Odd kernel widths in steps, at most 32 of them.
        attention_heads: Heads of every attention; divides the CNN's channels and `fusion`.
        projection: Width of the CNN's output, the first LSTM's input.
        lstm_hidden: Hidden units of each direction.
        lstm_layers: Bidirectional layers, at most 64, each with its own layer norm.
        fusion: Width of the fused features; equals `2 * lstm_hidden`, so the LSTM's output is used as it is.
        head_hidden: Hidden units of the classification and of the regression head.
        ensemble_heads: Members of the ensemble.
        ensemble_hidden: Hidden units of each member.
        monte_carlo_samples: Dropout masks that the regression head is averaged over.
        monte_carlo_seed: Seed these masks are drawn from, once, at initialisation.
        dropout: Share of units dropped in training and by each of these masks, in (0, 1).
    """

    feature_count: int = 50
    time_steps: int = 60
    class_labels: tuple[str, ...] = ("sell", "hold", "buy")
    regression_names: tuple[str, ...] = ("return", "volatility")
    positive_regressions: tuple[str, ...] = ("volatility",)
    cnn_filters: int = 64
    kernel_sizes: tuple[int, ...] = (3, 5, 7, 11)
    attention_heads: int = 8
    projection: int = 128
    lstm_hidden: int = 128
    lstm_layers: int = 3
    fusion: int = 256
    head_hidden: int = 128
    ensemble_heads: int = 5
    ensemble_hidden: int = 64
    monte_carlo_samples: int = 32
    monte_carlo_seed: int = 20170101
    dropout: float = 0.2

    def __post_init__(self) -> None:
        for name in (
            "feature_count",
            "time_steps",
            "cnn_filters",
            "attention_heads",
            "projection",
            "lstm_hidden",
            "fusion",
            "head_hidden",
            "ensemble_heads",
            "ensemble_hidden",
        ):
            integer(getattr(self, name), name, 1, 4096)
        integer(self.lstm_layers, "lstm_layers", 1, _MOST_LAYERS)
        integer(self.monte_carlo_samples, "monte_carlo_samples", 2, 4096)
        integer(self.monte_carlo_seed, "monte_carlo_seed", 0, 2**63 - 1)
        for name in ("class_labels", "regression_names", "positive_regressions"):
            object.__setattr__(self, name, distinct_names(getattr(self, name), name))  # JSON brings lists
        kernel_sizes = items(self.kernel_sizes, "kernel_sizes")
        if len(kernel_sizes) > _MOST_BRANCHES:
            raise ConfigError("kernel_sizes", f"has {len(kernel_sizes)} entries, more than {_MOST_BRANCHES}")
        sizes = tuple(integer(size, f"kernel_sizes[{i}]", 1, 1023) for i, size in enumerate(kernel_sizes))
        object.__setattr__(self, "kernel_sizes", sizes)
        object.__setattr__(self, "dropout", number(self.dropout, "dropout", above=0))

        if len(self.class_labels) < 2:
            raise ConfigError("class_labels", "fewer than two classes")
        if not self.regression_names:
            raise ConfigError("regression_names", "empty")
        if not set(self.positive_regressions) <= set(self.regression_names):
            raise ConfigError("positive_regressions", f"not all of {self.regression_names}")
        if not sizes or any(size % 2 == 0 for size in sizes):
            raise ConfigError("kernel_sizes", f"{sizes} are not odd: an even kernel would shift the steps")
        if self.cnn_channels % self.attention_heads:
            raise ConfigError("attention_heads", f"does not divide the {self.cnn_channels} channels of the CNN")
        if self.fusion % self.attention_heads:
            raise ConfigError("attention_heads", f"does not divide fusion = {self.fusion}")
        if self.fusion != 2 * self.lstm_hidden:
            raise ConfigError("fusion", f"is not 2 * lstm_hidden = {2 * self.lstm_hidden}")
        if not self.dropout < 1:
            raise ConfigError("dropout", f"{self.dropout!r} is not below 1")

    @property
    def cnn_channels(self) -> int:
        """Channels after the parallel convolutions are concatenated."""
        return self.cnn_filters * len(self.kernel_sizes)


@dataclass(frozen=True, kw_only=True)
class Normalisation:
    """Per-column centre and scale, fitted on the training split only.

    Attributes:
        mean: Centre of each column, in the column's own unit.
        standard_deviation: Scale of each column, same unit, > 0.
        clip: Bound on the normalised magnitude, in standard deviations, > 0; None for no bound.
    """

    mean: tuple[float, ...]
    standard_deviation: tuple[float, ...]
    clip: float | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "mean", numbers(self.mean, "mean"))
        deviations = numbers(self.standard_deviation, "standard_deviation", above=0)
        object.__setattr__(self, "standard_deviation", deviations)
        require_count(deviations, "standard_deviation", len(self.mean))
        if self.clip is not None:
            object.__setattr__(self, "clip", number(self.clip, "clip", above=0))


@dataclass(frozen=True, kw_only=True)
class FeatureRange:
    """What the training split's inputs spanned. A window that leaves it asks for what the model never saw.

    Attributes:
        lower: Least value of each feature, in the feature's own unit.
        upper: Greatest value of each, >= its least.
    """

    lower: tuple[float, ...]
    upper: tuple[float, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "lower", numbers(self.lower, "lower"))
        object.__setattr__(self, "upper", numbers(self.upper, "upper"))
        require_count(self.upper, "upper", len(self.lower))
        for index, (lower, upper) in enumerate(zip(self.lower, self.upper, strict=True)):
            if lower > upper:
                raise ConfigError(f"upper[{index}]", f"{upper!r} is below lower, {lower!r}")


_NESTED: Final = {
    "network": NetworkConfig,
    "feature_normalisation": Normalisation,
    "target_normalisation": Normalisation,
    "feature_range": FeatureRange,
}
# Left out of the file where there is nothing to say, so that files from before them and without them are alike.
_OPTIONAL: Final = {"feature_range": None, "golden_sha256": ""}


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """All that `config.json` says about one version of a model.

    Attributes:
        format_version: Of this file's format; 1.
        network: The architecture.
        feature_schema: Id of the feature schema the model was trained on.
        bar_interval_seconds: Time between two steps, seconds, > 0.
        prediction_horizon: How many bars ahead the targets look, >= 1.
        feature_normalisation: Of the inputs, one column per feature; has a clip.
        target_normalisation: Of the regression targets in their own units, one column per regression.
        class_thresholds: Forward returns that part the classes, strictly ascending: below the first is the
            first label, above the last the last. One fewer than labels.
        feature_range: Of the training split, one column per feature; None where nobody recorded it.
        training: Metrics and provenance of the training run, anything JSON can hold.
        sha256: Of `model.pth`, 64 lower-case hex digits; empty until the registry has written it.
        golden_sha256: Of `golden.npy`, likewise; empty if the version brings none, or nobody vouches for it.
    """

    format_version: int = FORMAT_VERSION
    network: NetworkConfig
    feature_schema: str
    bar_interval_seconds: float
    prediction_horizon: int
    feature_normalisation: Normalisation
    target_normalisation: Normalisation
    class_thresholds: tuple[float, ...]
    feature_range: FeatureRange | None = None
    training: dict[str, Any] = field(default_factory=dict)
    sha256: str = ""
    golden_sha256: str = ""

    def __post_init__(self) -> None:
        integer(self.format_version, "format_version", FORMAT_VERSION, FORMAT_VERSION)
        text(self.feature_schema, "feature_schema", r"[A-Za-z0-9][A-Za-z0-9_.:/-]{0,127}")
        interval = number(self.bar_interval_seconds, "bar_interval_seconds", above=0)
        object.__setattr__(self, "bar_interval_seconds", interval)
        integer(self.prediction_horizon, "prediction_horizon", 1, 1_000_000)
        require_count(self.feature_normalisation.mean, "feature_normalisation.mean", self.network.feature_count)
        require_count(self.target_normalisation.mean, "target_normalisation.mean", len(self.network.regression_names))
        if self.feature_normalisation.clip is None:
            raise ConfigError("feature_normalisation.clip", "missing: an input must not be unbounded")
        thresholds = numbers(self.class_thresholds, "class_thresholds")
        object.__setattr__(self, "class_thresholds", thresholds)
        require_count(thresholds, "class_thresholds", len(self.network.class_labels) - 1)
        if any(lower >= upper for lower, upper in itertools.pairwise(thresholds)):
            raise ConfigError("class_thresholds", f"{thresholds} are not strictly ascending")
        if self.feature_range is not None:
            require_count(self.feature_range.lower, "feature_range.lower", self.network.feature_count)
        if not isinstance(self.training, dict):
            raise ConfigError("training", f"{type(self.training).__name__} is not an object")
        text(self.sha256, "sha256", r"([0-9a-f]{64})?")
        text(self.golden_sha256, "golden_sha256", r"([0-9a-f]{64})?")

    def to_json(self) -> str:
        """The file's text, indented, ending in a newline.

        Raises:
            ConfigError: `training` holds what JSON cannot, such as NaN.
        """
        values = {name: value for name, value in asdict(self).items() if _OPTIONAL.get(name, self) != value}
        try:
            return json.dumps(values, indent=2, allow_nan=False) + "\n"
        except (TypeError, ValueError) as error:
            raise ConfigError("training", f"is not JSON: {error}") from error

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Read what `to_json` wrote.

        Raises:
            ConfigError: Not JSON, or a field is missing, unknown or wrong.
        """
        try:
            values = json.loads(text)
        except (ValueError, RecursionError) as error:  # json raises RecursionError on hostile nesting
            raise ConfigError("config", f"is not JSON: {error}") from error
        arguments = arguments_of(cls, values, "config", "")
        for name, nested_class in _NESTED.items():
            if name in _OPTIONAL and arguments.get(name) is None:
                continue
            inner = arguments_of(nested_class, arguments[name], name, f"{name}.")
            try:
                arguments[name] = nested_class(**inner)
            except ConfigError as error:
                raise ConfigError(f"{name}.{error.field}", error.reason) from error
        return cls(**arguments)
