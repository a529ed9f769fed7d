"""How many numbers a network of a given architecture stores, without building it.

Closed form, layer by layer in the order of `model.network`; a property test holds it to the network itself. So a config
that asks for gigabytes is found out by arithmetic.
"""

from model.model_config import NetworkConfig


def stored_numbers(config: NetworkConfig) -> int:
    """All parameters and stored buffers of a `HybridNetwork`: what its state dictionary holds."""
    features, filters, channels = config.feature_count, config.cnn_filters, config.cnn_channels
    classes, regressions = len(config.class_labels), len(config.regression_names)
    heads = config.ensemble_heads
    outputs = classes + 2 * regressions

    convolutions = sum(_linear(features * size, filters) + 4 * filters + 1 for size in config.kernel_sizes)
    convolutions += _attention(channels) + _linear(channels, config.projection)

    recurrence = _linear(2 * config.lstm_hidden, 1)
    for layer in range(config.lstm_layers):
        width = config.projection if layer == 0 else 2 * config.lstm_hidden
        direction = 4 * config.lstm_hidden * (width + config.lstm_hidden + 2)  # four gates, two biases each
        recurrence += 2 * direction + _norm(2 * config.lstm_hidden)

    fusion = _linear(config.projection, config.fusion) + 2 * _attention(config.fusion)
    fusion += _linear(3 * config.fusion, config.fusion) + _norm(config.fusion)

    classification = _linear(config.fusion, config.head_hidden) + _linear(config.head_hidden, classes)
    regression = _linear(config.fusion, config.head_hidden) + _linear(config.head_hidden, 2 * regressions)
    masks = config.monte_carlo_samples * config.head_hidden
    ensemble = _linear(config.fusion, heads * config.ensemble_hidden)
    ensemble += heads * (config.ensemble_hidden + 1) * outputs + heads

    normalisation = 2 * features + 1 + 4 * regressions  # inputs and their clip; targets and the uncertainty scales
    return convolutions + recurrence + fusion + classification + regression + masks + ensemble + normalisation


def _linear(inputs: int, outputs: int) -> int:
    return (inputs + 1) * outputs


def _norm(width: int) -> int:
    return 2 * width


def _attention(width: int) -> int:
    return 4 * _linear(width, width) + _norm(width)  # query, key, value, output
