"""The whole network: windows of raw features in, predictions with their uncertainty out.

Parallel convolutions see short patterns, self-attention relates them across the window, bidirectional LSTMs read
them in time, cross-attention lets the two views question each other, and small heads answer. Normalisation of the
inputs and of the targets are buffers of the network, so the weights' sha256 covers every number that an answer
depends on, and no caller can normalise differently.

Shapes in comments: n windows, t = 60 steps, f = 50 features, c = 256 CNN channels, p = 128 projected channels,
d = 256 fused features, k = 3 classes, r = 2 regressions, e = 5 ensemble heads, s = 32 Monte Carlo masks.

References:
    Vaswani et al. 2017, Attention Is All You Need: multi-head attention.
    Bahdanau et al. 2015, Neural Machine Translation by Jointly Learning to Align and Translate: attention pooling.
    Gal and Ghahramani 2016, Dropout as a Bayesian Approximation: Monte Carlo dropout.
    Kendall and Gal 2017, What Uncertainties Do We Need: a learned variance beside the mean.
    Lakshminarayanan et al. 2017, Simple and Scalable Predictive Uncertainty: the ensemble's mixture.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from model.model_config import NetworkConfig, Normalisation

# In standard deviations of the target: what a positive regression never falls below. Keeps > 0 true in fp32, where
# softplus underflows to 0 below about -104.
POSITIVE_FLOOR = 1e-6

# Bounds on the log of a predicted variance, in units of the target's variance: deviations of 0.018 to 7.4 of the
# target's. Wide enough to be idle in a sane model; they keep one odd window from answering 0 or infinity.
MINIMUM_LOG_VARIANCE, MAXIMUM_LOG_VARIANCE = -8.0, 4.0


class NetworkOutputs(NamedTuple):
    """What training reads, one forward pass with dropout as the mode says. Regressions are normalised.

    A normalised regression is (value - target mean) / target standard deviation, positive ones included: compare it
    with targets normalised by the same plain rule. A log variance is that of the normalised target.
    """

    class_logits: Tensor  # [n, k]
    regression_mean: Tensor  # [n, r]
    regression_log_variance: Tensor  # [n, r]
    ensemble_class_logits: Tensor  # [n, e, k]
    ensemble_regression_mean: Tensor  # [n, e, r]
    ensemble_regression_log_variance: Tensor  # [n, e, r]
    ensemble_weights: Tensor  # [e], sums to 1
    features: Tensor  # [n, d]


def attend(query: Tensor, key: Tensor, value: Tensor, heads: int, head_width: int) -> Tensor:
    """Multi-head attention by hand, so that it traces into plain products: [n, a, w], [n, t, w] twice -> [n, a, w]."""
    query = query.reshape(-1, query.shape[1], heads, head_width).transpose(1, 2)  # [n, heads, a, w / heads]
    key = key.reshape(-1, key.shape[1], heads, head_width).permute(0, 2, 3, 1)  # [n, heads, w / heads, t]
    value = value.reshape(-1, value.shape[1], heads, head_width).transpose(1, 2)  # [n, heads, t, w / heads]
    weights = (query @ key * (1 / math.sqrt(head_width))).softmax(dim=-1)  # [n, heads, a, t]
    mixed = (weights @ value).transpose(1, 2)  # [n, a, heads, w / heads]
    return mixed.reshape(-1, mixed.shape[1], heads * head_width)  # [n, a, w]


class Attention(nn.Module):
    """Multi-head attention of queries over a context, with residual and layer norm."""

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads, self.head_width = heads, width // heads
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(width, width)
        self.value = nn.Linear(width, width)
        self.output = nn.Linear(width, width)
        self.dropout = nn.Dropout(dropout)
        self.norm = nn.LayerNorm(width)

    def forward(self, queries: Tensor, context: Tensor) -> Tensor:
        """Queries [n, a, w], context [n, t, w] -> [n, a, w]."""
        mixed = attend(self.query(queries), self.key(context), self.value(context), self.heads, self.head_width)
        attended: Tensor = self.norm(queries + self.dropout(self.output(mixed)))
        return attended


class ConvolutionBranch(nn.Module):
    """One kernel size: convolution over time keeping its length, batch norm, ReLU."""

    def __init__(self, features: int, filters: int, kernel_size: int) -> None:
        super().__init__()
        self.convolution = nn.Conv1d(features, filters, kernel_size, padding=kernel_size // 2)
        self.norm = nn.BatchNorm1d(filters)

    def forward(self, windows: Tensor) -> Tensor:
        """[n, f, t] -> [n, filters, t]."""
        normalised: Tensor = self.norm(self.convolution(windows))
        return torch.relu(normalised)


class ConvolutionExtractor(nn.Module):
    """Parallel convolutions, self-attention over the steps, projection."""

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.branches = nn.ModuleList(
            ConvolutionBranch(config.feature_count, config.cnn_filters, size) for size in config.kernel_sizes
        )
        self.dropout = nn.Dropout(config.dropout)
        self.attention = Attention(config.cnn_channels, config.attention_heads, config.dropout)
        self.projection = nn.Linear(config.cnn_channels, config.projection)

    def forward(self, windows: Tensor) -> Tensor:
        """[n, f, t] -> [n, t, p]."""
        channels = torch.cat([branch(windows) for branch in self.branches], dim=1)  # [n, c, t]
        steps = self.dropout(channels.transpose(1, 2))  # [n, t, c]
        projected: Tensor = self.projection(self.attention(steps, steps))  # [n, t, p]
        return projected


class RecurrentLayer(nn.Module):
    """One bidirectional LSTM with layer norm, and a skip connection where the widths agree."""

    def __init__(self, width: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.lstm = nn.LSTM(width, hidden, batch_first=True, bidirectional=True)
        self.dropout = nn.Dropout(dropout)
        self.norm = nn.LayerNorm(2 * hidden)
        self.skip = width == 2 * hidden

    def forward(self, steps: Tensor) -> Tensor:
        """[n, t, width] -> [n, t, 2 * hidden]."""
        output = self.dropout(self.lstm(steps)[0])
        normalised: Tensor = self.norm(output + steps if self.skip else output)
        return normalised


class RecurrentProcessor(nn.Module):
    """The stack of LSTM layers, and a pooled summary of its steps by learned attention."""

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        widths = [config.projection] + [2 * config.lstm_hidden] * (config.lstm_layers - 1)
        self.layers = nn.ModuleList(RecurrentLayer(width, config.lstm_hidden, config.dropout) for width in widths)
        self.score = nn.Linear(2 * config.lstm_hidden, 1)

    def forward(self, steps: Tensor) -> tuple[Tensor, Tensor]:
        """[n, t, p] -> every step [n, t, d] and their weighted mean [n, d]."""
        for layer in self.layers:
            steps = layer(steps)
        weights = self.score(steps).softmax(dim=1)  # [n, t, 1]
        return steps, (weights * steps).sum(dim=1)  # [n, t, d], [n, d]


class Fusion(nn.Module):
    """Cross-attention both ways between the CNN's and the LSTM's view, fused for the last step.

    Only the last step's fused features feed the heads and a query's answer depends on no other query, so each side
    asks with its last step alone: equal to asking with all sixty and keeping the last, at a sixtieth of the price.
    """

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.lift = nn.Linear(config.projection, config.fusion)
        self.convolution_to_recurrent = Attention(config.fusion, config.attention_heads, config.dropout)
        self.recurrent_to_convolution = Attention(config.fusion, config.attention_heads, config.dropout)
        self.merge = nn.Linear(3 * config.fusion, config.fusion)
        self.norm = nn.LayerNorm(config.fusion)

    def forward(self, convolved: Tensor, recurrent: Tensor, pooled: Tensor) -> Tensor:
        """[n, t, p], [n, t, d], [n, d] -> [n, d]."""
        convolved = self.lift(convolved)  # [n, t, d]
        asked_recurrent = self.convolution_to_recurrent(convolved[:, -1:], recurrent)  # [n, 1, d]
        asked_convolved = self.recurrent_to_convolution(recurrent[:, -1:], convolved)  # [n, 1, d]
        views = torch.cat([asked_recurrent.squeeze(1), asked_convolved.squeeze(1), pooled], dim=-1)  # [n, 3 d]
        return torch.relu(self.norm(self.merge(views)))  # [n, d]


class ClassificationHead(nn.Module):
    """Fused features to class logits."""

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.hidden = nn.Linear(config.fusion, config.head_hidden)
        self.dropout = nn.Dropout(config.dropout)
        self.output = nn.Linear(config.head_hidden, len(config.class_labels))

    def forward(self, features: Tensor) -> Tensor:
        """[n, d] -> [n, k]."""
        outputs: Tensor = self.output(self.dropout(torch.relu(self.hidden(features))))
        return outputs


class RegressionHead(nn.Module):
    """Fused features to a mean and a log variance per regression; `sample` does so under each stored mask."""

    monte_carlo_masks: Tensor  # [s, hidden] of 0 and 1 / (1 - dropout)

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.hidden = nn.Linear(config.fusion, config.head_hidden)
        self.dropout = nn.Dropout(config.dropout)
        self.output = nn.Linear(config.head_hidden, 2 * len(config.regression_names))
        generator = torch.Generator().manual_seed(config.monte_carlo_seed)
        kept = torch.rand(config.monte_carlo_samples, config.head_hidden, generator=generator) >= config.dropout
        self.register_buffer("monte_carlo_masks", kept.float() / (1 - config.dropout))

    def forward(self, features: Tensor) -> Tensor:
        """[n, d] -> [n, 2 r]: means, then log variances."""
        outputs: Tensor = self.output(self.dropout(torch.relu(self.hidden(features))))
        return outputs

    def sample(self, features: Tensor) -> Tensor:
        """[n, d] -> [n, s, 2 r]: every mask in one batched pass, the same masks for every window and every call."""
        hidden = torch.relu(self.hidden(features)).unsqueeze(1)  # [n, 1, hidden]
        samples: Tensor = self.output(hidden * self.monte_carlo_masks)  # [n, s, 2 r]
        return samples


class Ensemble(nn.Module):
    """Independent small heads side by side, each predicting everything, and their learned softmax weights."""

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.heads, self.width = config.ensemble_heads, config.ensemble_hidden
        outputs = len(config.class_labels) + 2 * len(config.regression_names)
        self.hidden = nn.Linear(config.fusion, self.heads * self.width)  # the heads' first layers, stacked
        self.dropout = nn.Dropout(config.dropout)
        bound = self.width**-0.5  # as nn.Linear initialises
        self.weight = nn.Parameter(torch.empty(self.heads, self.width, outputs).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.zeros(self.heads, outputs))
        self.preference = nn.Parameter(torch.zeros(self.heads))  # softmax of it weighs the heads

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """[n, d] -> each head's outputs [n, e, k + 2 r], and the weights [e]."""
        hidden = self.dropout(torch.relu(self.hidden(features))).reshape(-1, self.heads, 1, self.width)
        outputs = (hidden @ self.weight).squeeze(2) + self.bias  # [n, e, 1, w] @ [e, w, k + 2 r] -> [n, e, k + 2 r]
        return outputs, self.preference.softmax(dim=0)


class HybridNetwork(nn.Module):
    """The network as it is trained and stored. For predictions in real units wrap it in `InferenceNetwork`.

    Its input is [n, f, t] float32 in the features' own units, oldest step first.
    """

    feature_mean: Tensor  # [f, 1]
    feature_deviation: Tensor  # [f, 1]
    feature_clip: Tensor  # []
    target_mean: Tensor  # [r]
    target_deviation: Tensor  # [r]
    positive: Tensor  # [r] of bool
    uncertainty_scale: Tensor  # [r]
    ensemble_uncertainty_scale: Tensor  # [r]

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.config = config
        self.convolutions = ConvolutionExtractor(config)
        self.recurrence = RecurrentProcessor(config)
        self.fusion = Fusion(config)
        self.classification = ClassificationHead(config)
        self.regression = RegressionHead(config)
        self.ensemble = Ensemble(config)

        regressions = len(config.regression_names)
        self.register_buffer("feature_mean", torch.zeros(config.feature_count, 1))
        self.register_buffer("feature_deviation", torch.ones(config.feature_count, 1))
        self.register_buffer("feature_clip", torch.tensor(10.0))
        self.register_buffer("target_mean", torch.zeros(regressions))
        self.register_buffer("target_deviation", torch.ones(regressions))
        self.register_buffer("uncertainty_scale", torch.ones(regressions))
        self.register_buffer("ensemble_uncertainty_scale", torch.ones(regressions))
        is_positive = torch.tensor([name in config.positive_regressions for name in config.regression_names])
        self.register_buffer("positive", is_positive, persistent=False)  # the config says it

    def set_normalisation(self, features: Normalisation, targets: Normalisation) -> None:
        """Store what was fitted on the training split; call before training and never after.

        `features` has one column per feature and a clip; `targets` one column per regression, its clip unused.
        """
        assert features.clip is not None, "feature normalisation has no clip"
        self.feature_mean.copy_(torch.tensor(features.mean).unsqueeze(1))
        self.feature_deviation.copy_(torch.tensor(features.standard_deviation).unsqueeze(1))
        self.feature_clip.fill_(features.clip)
        self.target_mean.copy_(torch.tensor(targets.mean))
        self.target_deviation.copy_(torch.tensor(targets.standard_deviation))

    def set_uncertainty_scale(self, regression: Tensor, ensemble: Tensor) -> None:
        """Store the factors [r], each > 0, that bring +-1 predicted deviation to its nominal coverage."""
        assert bool((regression > 0).all() and (ensemble > 0).all()), (regression, ensemble)
        self.uncertainty_scale.copy_(regression)
        self.ensemble_uncertainty_scale.copy_(ensemble)

    def encode(self, windows: Tensor) -> Tensor:
        """[n, f, t] raw -> fused features [n, d], >= 0."""
        normalised = (windows - self.feature_mean) / self.feature_deviation
        normalised = torch.minimum(torch.maximum(normalised, -self.feature_clip), self.feature_clip)
        convolved = self.convolutions(normalised)  # [n, t, p]
        recurrent, pooled = self.recurrence(convolved)  # [n, t, d], [n, d]
        fused: Tensor = self.fusion(convolved, recurrent, pooled)
        return fused

    def scaled(self, raw: Tensor) -> Tensor:
        """A head's raw regressions [..., r] -> values in units of the target's deviation, not centred.

        With m and s the target's mean and deviation: m / s + raw, or softplus(m / s + raw) for what must be positive.
        Softplus is the identity for values well above zero, so positive targets keep a linear, symmetric scale.
        """
        linear = raw + self.target_mean / self.target_deviation
        return torch.where(self.positive, functional.softplus(linear).clamp(min=POSITIVE_FLOOR), linear)

    def split(self, outputs: Tensor) -> tuple[Tensor, Tensor]:
        """A head's [..., 2 r] -> scaled means and bounded log variances, [..., r] each."""
        mean, log_variance = outputs.chunk(2, dim=-1)
        return self.scaled(mean), log_variance.clamp(MINIMUM_LOG_VARIANCE, MAXIMUM_LOG_VARIANCE)

    def forward(self, windows: Tensor) -> NetworkOutputs:
        """[n, f, t] raw -> what training reads."""
        features = self.encode(windows)
        members, weights = self.ensemble(features)
        member_logits, member_outputs = self.split_classes(members)
        centre = self.target_mean / self.target_deviation
        mean, log_variance = self.split(self.regression(features))
        member_mean, member_log_variance = self.split(member_outputs)
        return NetworkOutputs(
            class_logits=self.classification(features),
            regression_mean=mean - centre,
            regression_log_variance=log_variance,
            ensemble_class_logits=member_logits,
            ensemble_regression_mean=member_mean - centre,
            ensemble_regression_log_variance=member_log_variance,
            ensemble_weights=weights,
            features=features,
        )

    def split_classes(self, members: Tensor) -> tuple[Tensor, Tensor]:
        """[n, e, k + 2 r] -> class logits [n, e, k] and regression outputs [n, e, 2 r]."""
        classes = len(self.config.class_labels)
        return members[..., :classes], members[..., classes:]


class InferenceNetwork(nn.Module):
    """What engines run: the tensors of `ModelOutputs`, in its order, in the targets' own units.

    Deterministic: evaluation mode, stored Monte Carlo masks. Shares the given network's weights and puts it, and
    so keeps it, in evaluation mode.
    """

    def __init__(self, network: HybridNetwork) -> None:
        super().__init__()
        self.network = network
        self.eval()

    def forward(self, windows: Tensor) -> tuple[Tensor, ...]:
        """[n, f, t] raw -> [n, k], [n, r], [n, r], [n, k], [n, r], [n, r], [n, e], [n, d]."""
        network = self.network
        features = network.encode(windows)  # [n, d]
        probabilities = network.classification(features).softmax(dim=-1)  # [n, k]

        # Total variance over the masks, in units of the target's: mean of the variances + variance of the means.
        samples, log_variance = network.split(network.regression.sample(features))  # [n, s, r] each
        mean = samples.mean(dim=1)  # [n, r]
        variance = log_variance.exp().mean(dim=1) + (samples - mean.unsqueeze(1)).square().mean(dim=1)  # [n, r]

        # The same over the heads, by their weights.
        members, weights = network.ensemble(features)  # [n, e, k + 2 r], [e]
        member_logits, member_outputs = network.split_classes(members)
        member_mean, member_log_variance = network.split(member_outputs)  # [n, e, r] each
        share = weights.unsqueeze(-1)  # [e, 1]
        ensemble_probabilities = (share * member_logits.softmax(dim=-1)).sum(dim=1)  # [n, k]
        ensemble_mean = (share * member_mean).sum(dim=1)  # [n, r]
        spread = (member_mean - ensemble_mean.unsqueeze(1)).square()  # [n, e, r]
        ensemble_variance = (share * (member_log_variance.exp() + spread)).sum(dim=1)  # [n, r]

        unit = network.target_deviation
        return (
            probabilities,
            mean * unit,
            variance.sqrt() * (network.uncertainty_scale * unit),
            ensemble_probabilities,
            ensemble_mean * unit,
            ensemble_variance.sqrt() * (network.ensemble_uncertainty_scale * unit),
            weights.expand(windows.shape[0], -1),  # a row each, so that every output is indexed alike
            features,
        )


def parameter_count(network: nn.Module) -> int:
    """How many trainable numbers the network has; buffers not counted."""
    return sum(parameter.numel() for parameter in network.parameters())
