"""Laws of the folded network: each step alone, and all together, give the answers of the network as it is written."""

import copy
from collections.abc import Callable, Iterator

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from model.folded_network import (
    Affine,
    FoldedConvolutions,
    FoldedFusion,
    SingleQueryAttention,
    affine,
    fold_network,
    keys_for_query,
    scaled_query,
    values_after_mixing,
)
from model.model_config import NetworkConfig
from model.network import Attention, HybridNetwork, InferenceNetwork
from model.outputs import OUTPUT_NAMES
from model.parity import TOLERANCES, Differences, compare, eager_outputs, tensors_to_outputs
from tests.support.registry import FULL, SMALL, make_config, real_windows

# What rounding alone may do to values of order one, in products of up to a few hundred terms.
CLOSE = 2e-5


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """One thread for torch: on a busy machine two spend their time waiting for each other."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def build(config: NetworkConfig, seed: int = 0) -> HybridNetwork:
    """A network of which no weight, bias, norm or statistic is at a value that would hide a forgotten one."""
    settings = make_config(config)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = HybridNetwork(config)
        network.set_normalisation(settings.feature_normalisation, settings.target_normalisation)
        network.set_uncertainty_scale(torch.tensor([1.3, 0.8]), torch.tensor([0.7, 1.2]))
        with torch.no_grad():
            for module in network.modules():
                if isinstance(module, nn.LayerNorm | nn.BatchNorm1d):
                    module.weight.uniform_(0.5, 1.5)
                    module.bias.normal_(0, 0.3)
                if isinstance(module, nn.BatchNorm1d):
                    assert module.running_mean is not None
                    assert module.running_var is not None
                    module.running_mean.normal_(0, 0.5)
                    module.running_var.uniform_(0.3, 3)
                if isinstance(module, nn.Linear):
                    module.weight.mul_(2)  # attention that is far from uniform, answers that differ
                    module.bias.normal_(0, 0.3)
            network.ensemble.bias.normal_(0, 0.5)
            network.ensemble.preference.normal_()
    return network.eval().requires_grad_(False)


@pytest.fixture(scope="module")
def small() -> HybridNetwork:
    """A narrow network of the full architecture; not to be changed."""
    return build(SMALL)


def draw(*shape: int, seed: int = 0) -> Tensor:
    """Standard normal numbers, the same at every call."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def differences(network: HybridNetwork, folded: nn.Module, size: int, count: int) -> Differences:
    """How far `folded` is from the network on real windows spread over the data, in batches of `size`."""
    windows = np.ascontiguousarray(real_windows()[:: 512 // count])
    with torch.inference_mode():
        parts = [folded(torch.from_numpy(windows[start : start + size])) for start in range(0, count, size)]
    outputs = tensors_to_outputs([torch.cat(tensors) for tensors in zip(*parts, strict=True)])
    expected = eager_outputs(network, windows)
    assert float(expected.class_probabilities.std(axis=0).max()) > 0.01, "windows are answered alike: proves nothing"
    return compare(outputs, expected, network.target_deviation.numpy(), TOLERANCES["fp32"])


@pytest.mark.parametrize(
    ("config", "size", "count"), [(SMALL, 1, 64), (SMALL, 7, 256), (SMALL, 64, 256), (FULL, 8, 32)]
)
@pytest.mark.parametrize("seed", [0, 1])
def test_the_folded_network_gives_the_eager_answers(config: NetworkConfig, size: int, count: int, seed: int) -> None:
    """On real windows, in batches of any size, every output is within the tolerance of fp32."""
    network = build(config, seed)
    found = differences(network, fold_network(network), size, count)
    assert found.passed, str(found)


def test_outputs_have_the_order_and_the_shapes_of_the_network(small: HybridNetwork) -> None:
    """The tensors come in the order of `ModelOutputs`, with the network's own shapes."""
    windows = torch.from_numpy(real_windows(512)[:3].copy())
    with torch.inference_mode():
        expected, given = InferenceNetwork(small)(windows), fold_network(small)(windows)
    assert len(given) == len(OUTPUT_NAMES)
    assert [tensor.shape for tensor in given] == [tensor.shape for tensor in expected]


@pytest.mark.parametrize(
    ("name", "spoil"),
    [
        ("recurrent_to_convolution.query.bias", lambda bias: bias + 0.05),
        ("convolution_to_recurrent.values", lambda values: values.flip(0)),
        ("convolution_to_recurrent.output.bias", torch.zeros_like),
    ],
    ids=["query shifted", "heads swapped", "value bias dropped"],
)
def test_a_wrongly_folded_network_is_found_out(
    small: HybridNetwork, name: str, spoil: Callable[[Tensor], Tensor]
) -> None:
    """The comparison above fails for a fold that mistakes a bias or a head."""
    folded = copy.deepcopy(fold_network(small))
    tensor = folded.state_dict()[f"network.folded_fusion.{name}"]
    tensor.copy_(spoil(tensor.clone()))
    assert not differences(small, folded, 64, 64).passed


def test_folding_changes_neither_the_network_nor_the_random_numbers(small: HybridNetwork) -> None:
    """Weights, buffers and the process's generator are after a fold what they were before it."""
    before = {name: tensor.clone() for name, tensor in small.state_dict().items()}
    state = torch.random.get_rng_state()
    fold_network(small)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert all(torch.equal(tensor, before[name]) for name, tensor in small.state_dict().items())


def test_a_network_in_training_is_folded_as_it_infers() -> None:
    """Folding puts the network in evaluation mode, as wrapping it for inference does: no dropout, stored statistics."""
    network = build(SMALL).train()
    folded = fold_network(network)
    assert not network.training
    assert not folded.training
    assert differences(network, folded, 64, 64).passed


def test_affine_maps_compose(small: HybridNetwork) -> None:
    """One map after another is the same as both in turn."""
    outer, inner = affine(small.fusion.lift), Affine(draw(16, 5).double(), draw(16, seed=1).double())
    vector = draw(5, seed=2).double()
    both, turn = outer.after(inner), inner.weight @ vector + inner.bias
    expected = outer.weight @ turn + outer.bias
    assert torch.allclose(both.weight @ vector + both.bias, expected, rtol=0, atol=1e-12)


def test_steps_are_joined_as_channels_were(small: HybridNetwork) -> None:
    """Turning each branch before the join gives what turning the whole gave."""
    windows = draw(3, 50, 60)
    expected = small.convolutions(windows)
    assert torch.allclose(FoldedConvolutions(small.convolutions)(windows), expected, rtol=0, atol=CLOSE)


def test_scores_without_keys(small: HybridNetwork) -> None:
    """A softmax of what the folded query asks of the context is that of query times keys, scale and bias included."""
    attention = small.fusion.convolution_to_recurrent
    asking, context = draw(2, 1, 32), draw(2, 60, 32, seed=1)
    query, key = attention.query(asking), attention.key(context)
    split = (attention.heads, attention.head_width)
    expected = torch.einsum("nahw,nthw->nht", query.reshape(2, 1, *split), key.reshape(2, 60, *split))
    expected = (expected / attention.head_width**0.5).softmax(dim=-1)

    weight, bias = (part.float() for part in scaled_query(attention))
    asked = functional.linear(asking.squeeze(1), weight, bias).reshape(2, *split)
    question = torch.einsum("nhw,hwx->nhx", asked, keys_for_query(attention, None))
    given = torch.einsum("nhx,ntx->nht", question, context).softmax(dim=-1)
    assert torch.allclose(given, expected, rtol=0, atol=CLOSE)


def test_mixture_before_the_values(small: HybridNetwork) -> None:
    """Projecting a mixture of the context is mixing its projections, for any weights that sum to one."""
    attention = small.fusion.convolution_to_recurrent
    context, weights = draw(2, 60, 32), (3 * draw(2, attention.heads, 60, seed=1)).softmax(dim=-1)
    value = attention.value(context).reshape(2, 60, attention.heads, attention.head_width)
    expected = attention.output(torch.einsum("nht,nthw->nhw", weights, value).flatten(1))

    values, output = values_after_mixing(attention, None)
    mixed = torch.einsum("nht,ntx,hxw->nhw", weights, context, values).flatten(1)
    given = functional.linear(mixed, output.weight.float(), output.bias.float())
    assert torch.allclose(given, expected, rtol=0, atol=CLOSE)


@pytest.mark.parametrize("lifted", [False, True])
def test_attention_of_one_query(small: HybridNetwork, lifted: bool) -> None:
    """The whole attention, with and without a lift of its context, answers as the one it was made of."""
    attention: Attention = small.fusion.recurrent_to_convolution
    context = draw(3, 60, 16 if lifted else 32)
    asking = draw(3, 32, seed=1)
    expected = attention(asking.unsqueeze(1), small.fusion.lift(context) if lifted else context).squeeze(1)
    folded = SingleQueryAttention(attention, affine(small.fusion.lift) if lifted else None)
    assert torch.allclose(folded(asking, context), expected, rtol=0, atol=CLOSE)


def test_fusion_of_single_queries(small: HybridNetwork) -> None:
    """The fused features are those of the fusion as it is written."""
    convolved, recurrent, pooled = draw(3, 60, 16), draw(3, 60, 32, seed=1), draw(3, 32, seed=2)
    expected = small.fusion(convolved, recurrent, pooled)
    assert torch.allclose(FoldedFusion(small.fusion)(convolved, recurrent, pooled), expected, rtol=0, atol=CLOSE)
