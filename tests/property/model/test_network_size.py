"""Law of the arithmetic that bounds a network before it is built."""

import dataclasses

from hypothesis import given, settings
from hypothesis import strategies as st

from model.model_config import NetworkConfig
from model.network import HybridNetwork
from model.network_size import stored_numbers

NAMES = st.lists(st.sampled_from("abcdefgh"), min_size=2, max_size=4, unique=True).map(tuple)


@st.composite
def architectures(draw: st.DrawFn) -> NetworkConfig:
    """Valid small architectures, every field but the seed drawn."""
    small = st.integers(1, 5)
    heads, hidden = draw(st.sampled_from([1, 2])), 2 * draw(small)
    kernels = draw(st.lists(st.sampled_from([1, 3, 5, 7]), min_size=1, max_size=3))
    names = draw(NAMES)
    return NetworkConfig(
        feature_count=draw(small),
        time_steps=draw(small),
        class_labels=draw(NAMES),
        regression_names=names,
        positive_regressions=names[:1],
        cnn_filters=heads * draw(small),
        kernel_sizes=tuple(kernels),
        attention_heads=heads,
        projection=draw(small),
        lstm_hidden=hidden,
        lstm_layers=draw(small),
        fusion=2 * hidden,
        head_hidden=draw(small),
        ensemble_heads=draw(small),
        ensemble_hidden=draw(small),
        monte_carlo_samples=1 + draw(small),
    )


def numbers_in(config: NetworkConfig) -> int:
    """What the network itself stores."""
    return sum(tensor.numel() for tensor in HybridNetwork(config).state_dict().values())


@settings(max_examples=60, deadline=None)
@given(architectures())
def test_the_arithmetic_is_the_network(config: NetworkConfig) -> None:
    """For every architecture the closed form counts what the network's state dictionary holds, to the number."""
    assert stored_numbers(config) == numbers_in(config)


def test_the_default_and_the_largest() -> None:
    """The default network is counted right; one with every width at its bound is counted without being built."""
    assert stored_numbers(NetworkConfig()) == numbers_in(NetworkConfig())
    widest = dataclasses.replace(
        NetworkConfig(), cnn_filters=4096, projection=4096, lstm_hidden=2048, fusion=4096, lstm_layers=64
    )
    assert stored_numbers(widest) > 10**9
