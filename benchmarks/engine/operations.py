"""How much arithmetic one window takes, from the architecture alone. Pure.

Counts the multiplications and additions of the matrix products and convolutions, 2 for each pair; what norms,
activations and softmax add is left out. The test holds both counts against PyTorch's own counter.
"""

from __future__ import annotations

from model.model_config import NetworkConfig


def as_written(config: NetworkConfig) -> int:
    """Returns the operations of the network as it is written, one window."""
    d, t = config.fusion, config.time_steps
    lift = _product(t, config.projection, d)
    keys_and_values = 2 * 2 * _product(t, d, d)  # of both cross-attentions
    query_and_output = 2 * 2 * _product(1, d, d)
    scores_and_mixtures = 2 * 2 * _product(1, d, t)
    return _shared(config) + lift + keys_and_values + query_and_output + scores_and_mixtures


def as_folded(config: NetworkConfig) -> int:
    """Returns the operations of `model.folded_network`, one window."""
    d, t, h = config.fusion, config.time_steps, config.attention_heads
    lift = _product(1, config.projection, d)
    query_and_output = 2 * 2 * _product(1, d, d)
    fused = 0
    for width in (d, config.projection):  # of the two contexts
        keys_and_values = 2 * _product(1, d, width)
        scores_and_mixtures = 2 * _product(h, width, t)
        fused += keys_and_values + scores_and_mixtures
    return _shared(config) + lift + query_and_output + fused


def _shared(config: NetworkConfig) -> int:
    """Returns what both do alike: all but the cross-attentions and their lift."""
    t, c = config.time_steps, config.cnn_channels
    convolutions = sum(_product(t, config.feature_count * size, config.cnn_filters) for size in config.kernel_sizes)
    attention = 4 * _product(t, c, c) + 2 * _product(t, c, t)
    projection = _product(t, c, config.projection)
    return convolutions + attention + projection + _recurrence(config) + _heads(config)


def _recurrence(config: NetworkConfig) -> int:
    hidden, t = config.lstm_hidden, config.time_steps
    widths = [config.projection] + [2 * hidden] * (config.lstm_layers - 1)
    layers = sum(2 * _product(t, width + hidden, 4 * hidden) for width in widths)  # both directions
    return layers + _product(t, 2 * hidden, 1)  # the score of each step


def _heads(config: NetworkConfig) -> int:
    d, k, r = config.fusion, len(config.class_labels), len(config.regression_names)
    merge = _product(1, 3 * d, d)
    classification = _product(1, d, config.head_hidden) + _product(1, config.head_hidden, k)
    samples = _product(config.monte_carlo_samples, config.head_hidden, 2 * r)
    regression = _product(1, d, config.head_hidden) + samples
    members = config.ensemble_heads * config.ensemble_hidden
    ensemble = _product(1, d, members) + _product(1, members, k + 2 * r)
    return merge + classification + regression + ensemble


def _product(rows: int, inner: int, columns: int) -> int:
    """Returns the operations of a [rows, inner] by [inner, columns] product."""
    return 2 * rows * inner * columns
