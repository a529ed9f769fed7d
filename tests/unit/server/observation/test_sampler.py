"""Laws of sampling: the caller's decision first, ours by ratio, and nothing made for what nobody traces."""

import random

import pytest

from server.observation.sampler import Sampler
from server.trace_context import TraceContext

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


@pytest.mark.parametrize("ratio", [0.0, 1.0])
@pytest.mark.parametrize(("flags", "is_sampled"), [("01", True), ("00", False), ("03", True), ("fe", False)])
def test_the_caller_decides(ratio: float, flags: str, is_sampled: bool) -> None:
    """Whatever the ratio: only the lowest flag says it, and our span lies below the caller's."""
    placed = Sampler(ratio).place(f"00-{TRACE}-{SPAN}-{flags}")
    assert placed is not None
    assert (placed.trace_id, placed.parent_span_id, placed.is_sampled) == (TRACE, SPAN, is_sampled)
    assert placed.span_id not in ("", SPAN)


@pytest.mark.parametrize("traceparent", ["", "nonsense", f"00-{'0' * 32}-{SPAN}-01", f"ff-{TRACE}-{SPAN}-01"])
def test_the_ratio_decides_about_the_others(traceparent: str) -> None:
    """All, none, or a share: within six standard deviations of it."""
    random.seed(7)
    root = Sampler(1.0).place(traceparent)
    assert root is not None
    assert (root.parent_span_id, root.is_sampled) == ("", True)
    assert Sampler(0.0).place(traceparent) is None
    some = Sampler(0.25)
    count = sum(some.place(traceparent) is not None for _ in range(4000))
    assert count == pytest.approx(1000, abs=6 * (4000 * 0.25 * 0.75) ** 0.5)


def test_every_root_is_a_trace_of_its_own() -> None:
    """Its ids are new, and well formed."""
    sampler = Sampler(1.0)
    roots = [sampler.place("") for _ in range(100)]
    known = [root for root in roots if isinstance(root, TraceContext)]
    assert len({root.trace_id for root in known}) == len({root.span_id for root in known}) == 100
    assert all(len(root.trace_id) == 32 and len(root.span_id) == 16 for root in known)


def test_what_is_off_samples_nothing() -> None:
    """The caller's trace is still told in the answer, but no spans are asked for."""
    sampler = Sampler(1.0)
    sampler.is_enabled = False
    assert sampler.place("") is None
    placed = sampler.place(f"00-{TRACE}-{SPAN}-01")
    assert placed is not None
    assert (placed.trace_id, placed.is_sampled) == (TRACE, False)
