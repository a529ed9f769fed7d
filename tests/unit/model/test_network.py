"""Laws of the network itself: its size, its shapes, its units, and that it always answers the same."""

import dataclasses

import pytest
import torch

from model.model_config import NetworkConfig, Normalisation
from model.network import HybridNetwork, InferenceNetwork, parameter_count

TINY = NetworkConfig(
    cnn_filters=4, attention_heads=2, projection=8, lstm_hidden=8, fusion=16, head_hidden=8, ensemble_hidden=4
)
TARGETS = Normalisation(mean=(1e-5, 2e-3), standard_deviation=(1e-3, 1e-3))


def build(config: NetworkConfig = TINY, centre: float = 0.0, deviation: float = 1.0) -> HybridNetwork:
    """A network with heads spread far enough for its answers to differ from window to window."""
    torch.manual_seed(0)
    network = HybridNetwork(config)
    columns = config.feature_count
    features = Normalisation(mean=(centre,) * columns, standard_deviation=(deviation,) * columns, clip=8.0)
    network.set_normalisation(features, TARGETS)
    with torch.no_grad():
        network.classification.output.weight.mul_(5)
        network.regression.output.weight.mul_(5)
        network.ensemble.weight.mul_(5)
        network.ensemble.preference.copy_(torch.arange(config.ensemble_heads) / 2)
    return network


def windows(count: int) -> torch.Tensor:
    """The same [count, 50, 60] normal windows at every call."""
    return torch.randn(count, 50, 60, generator=torch.Generator().manual_seed(1))


@pytest.fixture(scope="module")
def network() -> HybridNetwork:
    """A tiny network of the full architecture; tests leave it in evaluation mode and do not change it."""
    return build().eval()


def test_parameter_count_of_the_default_network() -> None:
    """The default network has about 2.3 million parameters, and exactly those that were measured."""
    count = parameter_count(HybridNetwork(NetworkConfig()))
    assert 2_200_000 < count < 2_400_000
    assert count == 2_346_032


@pytest.mark.parametrize("count", [1, 5])
def test_inference_shapes_of_the_default_network(count: int) -> None:
    """Every output of the default network has a row per window and the width the contract promises."""
    with torch.inference_mode():
        outputs = InferenceNetwork(HybridNetwork(NetworkConfig()))(windows(count))
    assert [tuple(output.shape) for output in outputs] == [(count, width) for width in (3, 2, 2, 3, 2, 2, 5, 256)]
    assert all(output.dtype == torch.float32 for output in outputs)


def test_training_shapes(network: HybridNetwork) -> None:
    """The training forward gives logits and normalised regressions, those of each ensemble head apart."""
    outputs = network(windows(4))
    expected = [(4, 3), (4, 2), (4, 2), (4, 5, 3), (4, 5, 2), (4, 5, 2), (5,), (4, 16)]
    assert [tuple(output.shape) for output in outputs] == expected


def test_every_parameter_learns() -> None:
    """A loss over all outputs reaches every parameter."""
    network = build().train()
    # The weights and the log variances enter squared: their plain sums are constant or zero by symmetry.
    torch.stack([output.square().sum() for output in network(windows(4))]).sum().backward()  # type: ignore[no-untyped-call]
    # Shifting all keys of an attention alike shifts all its scores alike, which a softmax does not see.
    learners = {name: p for name, p in network.named_parameters() if not name.endswith("key.bias")}
    still = [n for n, p in learners.items() if p.grad is None or not bool(p.grad.abs().sum() > 0)]
    assert still in ([], ["recurrence.score.bias"])  # one bias on every step: the same softmax, to rounding


def test_probabilities_are_normalised_and_deviations_positive(network: HybridNetwork) -> None:
    """Probabilities and weights sum to one; standard deviations and the volatility are above zero."""
    with torch.inference_mode():
        outputs = InferenceNetwork(network)(windows(64) * 3)
    probabilities, mean, deviation, ensemble_probabilities, ensemble_mean, ensemble_deviation, weights, _ = outputs
    for shares in (probabilities, ensemble_probabilities, weights):
        torch.testing.assert_close(shares.sum(dim=1), torch.ones(64))
        assert bool((shares >= 0).all())
    for positive in (deviation, ensemble_deviation, mean[:, 1], ensemble_mean[:, 1]):
        assert bool((positive > 0).all())
    assert probabilities.std(dim=0).min() > 1e-3  # the windows do get different answers


def test_volatility_stays_positive_where_softplus_underflows(network: HybridNetwork) -> None:
    """However low a head aims, the volatility is above zero and the return follows it down."""
    scaled = network.scaled(torch.full((1, 2), -1e4))
    assert scaled[0, 1] > 0
    assert scaled[0, 0] < -9e3


def test_positive_regressions_are_denormalised_linearly_when_large(network: HybridNetwork) -> None:
    """Well above zero a positive regression is mean + deviation * raw, as any other."""
    raw = torch.tensor([[3.0, 20.0]])
    expected = raw * network.target_deviation + network.target_mean
    torch.testing.assert_close(network.scaled(raw) * network.target_deviation, expected)


def test_training_and_inference_agree_on_every_head(network: HybridNetwork) -> None:
    """Without Monte Carlo masks, what training sees is what inference answers, in other units."""
    batch = windows(8)
    with torch.inference_mode():
        seen = network.eval()(batch)
        answered = InferenceNetwork(network)(batch)
    torch.testing.assert_close(answered[0], seen.class_logits.softmax(dim=-1))
    shares = seen.ensemble_weights.unsqueeze(-1)
    torch.testing.assert_close(answered[3], (shares * seen.ensemble_class_logits.softmax(dim=-1)).sum(dim=1))
    mean = (shares * seen.ensemble_regression_mean).sum(dim=1) * network.target_deviation + network.target_mean
    torch.testing.assert_close(answered[4], mean)
    torch.testing.assert_close(answered[7], seen.features)


def test_monte_carlo_average_is_that_of_the_stored_masks(network: HybridNetwork) -> None:
    """The one batched pass equals running the head once under each mask."""
    features = torch.rand(3, 16)
    head = network.regression
    one_by_one = [head.output(torch.relu(head.hidden(features)) * mask) for mask in head.monte_carlo_masks]
    torch.testing.assert_close(head.sample(features), torch.stack(one_by_one, dim=1))


def test_masks_follow_the_seed() -> None:
    """The same seed draws the same masks in any process; another seed draws others; about the stated share is kept."""
    masks = HybridNetwork(TINY).regression.monte_carlo_masks
    torch.manual_seed(99)
    torch.testing.assert_close(masks, HybridNetwork(TINY).regression.monte_carlo_masks, rtol=0, atol=0)
    other = HybridNetwork(dataclasses.replace(TINY, monte_carlo_seed=7)).regression.monte_carlo_masks
    assert not torch.equal(masks, other)
    assert abs(float((masks > 0).float().mean()) - (1 - TINY.dropout)) < 0.1
    assert set(masks.unique().tolist()) == {0.0, 1.25}  # type: ignore[no-untyped-call]


def test_same_window_same_bits(network: HybridNetwork) -> None:
    """A window alone gets bit-identical answers every time, also after the network was in training mode."""
    inference, window = InferenceNetwork(network), windows(1)
    with torch.inference_mode():
        first = inference(window)
        inference.train().eval()
        again = inference(window)
    assert all(torch.equal(one, two) for one, two in zip(first, again, strict=True))


def test_neighbours_do_not_matter(network: HybridNetwork) -> None:
    """A window's answer in a batch is its answer alone, within rounding."""
    inference, batch = InferenceNetwork(network), windows(9)
    with torch.inference_mode():
        together = inference(batch)
        for index in (0, 4, 8):
            alone = inference(batch[index : index + 1])
            for one, all_of_them in zip(alone, together, strict=True):
                torch.testing.assert_close(one[0], all_of_them[index], rtol=1e-5, atol=1e-6)


def test_only_the_last_query_counts(network: HybridNetwork) -> None:
    """Asking with the last step alone equals asking with every step and keeping the last."""
    queries, context = torch.randn(2, 60, 16), torch.randn(2, 60, 16)
    attention = network.fusion.convolution_to_recurrent
    torch.testing.assert_close(attention(queries[:, -1:], context), attention(queries, context)[:, -1:])


def test_attention_is_the_one_of_torch(network: HybridNetwork) -> None:
    """Attention by hand equals torch's own with the same weights."""
    ours = network.convolutions.attention
    theirs = torch.nn.MultiheadAttention(16, 2, batch_first=True)
    with torch.no_grad():
        theirs.in_proj_weight.copy_(torch.cat([ours.query.weight, ours.key.weight, ours.value.weight]))
        theirs.in_proj_bias.copy_(torch.cat([ours.query.bias, ours.key.bias, ours.value.bias]))
        theirs.out_proj.load_state_dict(ours.output.state_dict())
    queries, context = torch.randn(3, 5, 16), torch.randn(3, 60, 16)
    expected = ours.norm(queries + theirs(queries, context, context, need_weights=False)[0])
    torch.testing.assert_close(ours(queries, context), expected)


def test_inputs_are_normalised_inside() -> None:
    """A network that was told the features' scale answers raw windows as its twin answers normalised ones."""
    raw = windows(4) * 0.25 + 1.5
    with torch.inference_mode():
        expected = InferenceNetwork(build())(windows(4))
        given = InferenceNetwork(build(centre=1.5, deviation=0.25))(raw)
    for one, two in zip(given, expected, strict=True):
        torch.testing.assert_close(one, two, rtol=1e-4, atol=1e-5)


def test_inputs_are_clipped(network: HybridNetwork) -> None:
    """Past the clip a feature's size no longer matters, so that no input drives the answer without bound."""
    far, farther = windows(2), windows(2)
    far[:, 3], farther[:, 3] = 8.0, 1e30
    with torch.inference_mode():
        pairs = zip(InferenceNetwork(network)(far), InferenceNetwork(network)(farther), strict=True)
        assert all(torch.equal(one, two) for one, two in pairs)


def test_uncertainty_scale_multiplies_the_deviation_alone() -> None:
    """Recalibration stretches the standard deviations by its factors and leaves every mean as it was."""
    network = build()
    with torch.inference_mode():
        before = InferenceNetwork(network)(windows(3))
        network.set_uncertainty_scale(torch.tensor([2.0, 3.0]), torch.tensor([4.0, 5.0]))
        after = InferenceNetwork(network)(windows(3))
    torch.testing.assert_close(after[2], before[2] * torch.tensor([2.0, 3.0]))
    torch.testing.assert_close(after[5], before[5] * torch.tensor([4.0, 5.0]))
    assert all(torch.equal(after[i], before[i]) for i in (0, 1, 3, 4, 6, 7))


def test_everything_an_answer_depends_on_is_stored(network: HybridNetwork) -> None:
    """A fresh network with the stored state answers bit for bit the same: the weights' hash covers it all."""
    torch.manual_seed(1234)
    other = HybridNetwork(TINY)
    other.load_state_dict(network.state_dict())
    with torch.inference_mode():
        pairs = zip(InferenceNetwork(other)(windows(3)), InferenceNetwork(network)(windows(3)), strict=True)
        assert all(torch.equal(one, two) for one, two in pairs)
