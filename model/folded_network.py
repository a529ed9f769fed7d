"""The network rewritten for inference: the same answers from fewer products and fewer passes over memory.

Each step is algebra on the stored weights, done once, in double precision. Only steps that were measured to pay are
here; docs/adr/0009-inference-algebra.md has the figures, and those of the steps that were tried and left out. The
network as it is written stays the reference that every engine is held against.

Shapes in comments as in `model.network`; also h attention heads of width w = d / h, and x = a context's own width.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn

from model.network import Attention, ConvolutionExtractor, Fusion, HybridNetwork, InferenceNetwork


def fold_network(network: HybridNetwork) -> nn.Module:
    """Rewrite `network`, which this puts in evaluation mode, for inference.

    The result takes [n, f, t] raw windows and gives what `InferenceNetwork(network)` gives, within
    `parity.TOLERANCES["fp32"]`. It holds copies of the folded weights and shares all others: fold a network whose
    weights are final.
    """
    return InferenceNetwork(_FoldedNetwork(network.eval()))


class Affine(NamedTuple):
    """The map y = weight x + bias."""

    weight: Tensor  # [out, in]
    bias: Tensor  # [out]

    def after(self, inner: "Affine") -> "Affine":
        """The one map that does what `inner`, and then this, would do."""
        return Affine(self.weight @ inner.weight, self.weight @ inner.bias + self.bias)


def affine(layer: nn.Linear) -> Affine:
    """What `layer` computes, in double precision, so that composing maps adds no rounding that shows."""
    return Affine(layer.weight.detach().double(), layer.bias.detach().double())


class _FoldedNetwork(HybridNetwork):
    """A network with a folded encoder; heads, buffers and units are the given network's own."""

    def __init__(self, network: HybridNetwork) -> None:
        nn.Module.__init__(self)  # not the parent's, which would draw new weights
        self.config = network.config
        for name, buffer in network.named_buffers(recurse=False):
            self.register_buffer(name, buffer)
        self.folded_convolutions = FoldedConvolutions(network.convolutions)
        self.recurrence = network.recurrence
        self.folded_fusion = FoldedFusion(network.fusion)
        self.classification = network.classification
        self.regression = network.regression
        self.ensemble = network.ensemble

    def encode(self, windows: Tensor) -> Tensor:
        """[n, f, t] raw -> fused features [n, d], >= 0."""
        normalised = (windows - self.feature_mean) / self.feature_deviation
        normalised = torch.minimum(torch.maximum(normalised, -self.feature_clip), self.feature_clip)
        convolved = self.folded_convolutions(normalised)  # [n, t, p]
        recurrent, pooled = self.recurrence(convolved)  # [n, t, d], [n, d]
        fused: Tensor = self.folded_fusion(convolved, recurrent, pooled)
        return fused


class FoldedConvolutions(nn.Module):
    """The convolutions' outputs turned to steps before they are joined, not after.

    A transposition of the whole ends up in OpenVINO inside each product that reads it: three passes over [n, c, t] for
    query, key and value. Those of the branches are done once, and joining steps is a plain copy.
    """

    def __init__(self, convolutions: ConvolutionExtractor) -> None:
        super().__init__()
        self.branches = convolutions.branches
        self.attention = convolutions.attention
        self.projection = convolutions.projection

    def forward(self, windows: Tensor) -> Tensor:
        """[n, f, t] normalised -> [n, t, p]."""
        steps = torch.cat([branch(windows).transpose(1, 2) for branch in self.branches], dim=-1)  # [n, t, c]
        projected: Tensor = self.projection(self.attention(steps, steps))  # [n, t, p]
        return projected


class SingleQueryAttention(nn.Module):
    """Attention of one query a window over a context that is never projected.

    Args:
        attention: What to fold; in evaluation mode it drops nothing, and so its dropout is left out.
        lift: A map that the attention as written has its context put through first: folded in. None: there is none.
    """

    keys: Tensor  # [h, w, x]
    values: Tensor  # [h, x, w]

    def __init__(self, attention: Attention, lift: Affine | None = None) -> None:
        super().__init__()
        self.heads, self.head_width = attention.heads, attention.head_width
        self.query = _linear(scaled_query(attention))
        self.register_buffer("keys", keys_for_query(attention, lift))
        values, output = values_after_mixing(attention, lift)
        self.register_buffer("values", values)
        self.output = _linear(output)
        self.norm = attention.norm

    def forward(self, asking: Tensor, context: Tensor) -> Tensor:
        """What asks [n, d] and the context [n, t, x] -> [n, d]."""
        query = self.query(asking).reshape(-1, self.heads, 1, self.head_width)  # [n, h, 1, w]
        question = (query @ self.keys).squeeze(2)  # [n, h, x]
        weights = (question @ context.transpose(1, 2)).softmax(dim=-1)  # [n, h, t]
        mixture = (weights @ context).unsqueeze(2)  # [n, h, 1, x]
        mixed = (mixture @ self.values).reshape(-1, self.heads * self.head_width)  # [n, d]
        attended: Tensor = self.norm(asking + self.output(mixed))
        return attended


def scaled_query(attention: Attention) -> Affine:
    """The query's projection with the 1 / sqrt(w) of its scores: query . x / sqrt(w) = (query / sqrt(w)) . x."""
    query = affine(attention.query)
    scale = 1 / math.sqrt(attention.head_width)
    return Affine(query.weight * scale, query.bias * scale)


def keys_for_query(attention: Attention, lift: Affine | None) -> Tensor:
    """[h, w, x] that turn a query into what it asks of the context itself.

    query . (K x + k) = (K' query) . x + query . k, where the last term is the same for every step of the context: a
    softmax over the steps does not see it. One query is projected instead of t keys, and the keys' bias is dropped.
    """
    key = affine(attention.key)
    if lift is not None:
        key = key.after(lift)
    return key.weight.reshape(attention.heads, attention.head_width, -1).float()


def values_after_mixing(attention: Attention, lift: Affine | None) -> tuple[Tensor, Affine]:
    """[h, x, w] that turn a head's mixture of the context into its value, and the output that goes with them.

    With weights a_s over the steps s, sum a_s (V x_s + v) = V (sum a_s x_s) + v since they sum to one. One mixture is
    projected instead of t values, and v joins the output's own bias.
    """
    value = affine(attention.value)
    if lift is not None:
        value = value.after(lift)
    heads = value.weight.reshape(attention.heads, attention.head_width, -1)
    identity = torch.eye(len(value.bias), dtype=torch.float64)
    output = affine(attention.output).after(Affine(identity, value.bias))
    return heads.transpose(1, 2).contiguous().float(), output


class FoldedFusion(nn.Module):
    """Both cross-attentions on single queries, the CNN's side with its lift folded in; then merged as written."""

    def __init__(self, fusion: Fusion) -> None:
        super().__init__()
        self.lift = fusion.lift
        self.convolution_to_recurrent = SingleQueryAttention(fusion.convolution_to_recurrent)
        self.recurrent_to_convolution = SingleQueryAttention(fusion.recurrent_to_convolution, affine(fusion.lift))
        self.merge = fusion.merge
        self.norm = fusion.norm

    def forward(self, convolved: Tensor, recurrent: Tensor, pooled: Tensor) -> Tensor:
        """[n, t, p], [n, t, d], [n, d] -> [n, d]."""
        asked_recurrent = self.convolution_to_recurrent(self.lift(convolved[:, -1]), recurrent)  # [n, d]
        asked_convolved = self.recurrent_to_convolution(recurrent[:, -1], convolved)  # [n, d]
        views = torch.cat([asked_recurrent, asked_convolved, pooled], dim=-1)  # [n, 3 d]
        return torch.relu(self.norm(self.merge(views)))  # [n, d]


def _linear(map_: Affine) -> nn.Linear:
    """A float32 layer that computes `map_`."""
    # By way of "meta", which draws no random weights: folding leaves the process's generator as it was.
    layer = nn.Linear(map_.weight.shape[1], map_.weight.shape[0], device="meta").to_empty(device="cpu")
    with torch.no_grad():
        layer.weight.copy_(map_.weight)
        layer.bias.copy_(map_.bias)
    return layer.requires_grad_(False)
