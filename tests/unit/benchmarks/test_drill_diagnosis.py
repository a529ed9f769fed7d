"""The documented reading of the dashboard: each fault's picture leads to its name, and noise to none."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.drill import panels
from benchmarks.drill.diagnosis import Diagnosis, Fault, diagnose
from benchmarks.drill.screen import Line, Reading, Screen, is_there, level, peak
from scripts.layering import ROOT

NAN = math.nan
Picture = Mapping[str, Mapping[str, Line]]


def flat(value: float) -> Line:
    """Returns a line that stands at a height."""
    return (value,) * 6


CALM: Picture = {
    "Uptime by replica": {"a": flat(100), "b": flat(90)},
    "Asked, by class": {"real_time": flat(20), "standard": flat(10), "background": flat(10)},
    "Queue size": {"real_time": flat(0), "standard": flat(0), "background": flat(0)},
    "Shed": {},
    "Event loop lag": {"a": flat(0.004), "b": flat(0.003), "p99 of all": flat(0.005)},
    "Engine time": {"p50 cnn_lstm:1": flat(0.001), "p99 cnn_lstm:1": flat(0.002)},
    "Batch size": {"cnn_lstm:1": flat(1.1)},
    "Stores that fail": {"windows": flat(0), "cache": flat(0)},
    "Disagreement": {},
    "Exporters": {"spans exported": flat(300), "spans dropped": flat(0)},
}


def changed(picture: Picture) -> Screen:
    """Returns the calm picture with other lines in some panels."""
    return {panel: {**lines, **picture.get(panel, {})} for panel, lines in CALM.items()}


def read(picture: Picture) -> Diagnosis:
    """Returns what is found when all was calm before."""
    return diagnose(Reading(before=CALM, now=changed(picture)))


PICTURES: Mapping[Fault, tuple[str, Picture]] = {
    Fault.NONE: ("", {}),
    Fault.REPLICA_LOST: (
        "b",
        {"Uptime by replica": {"b": (96.0, 97.0, NAN, NAN, NAN, NAN), "c": (NAN, 1.0, 2.0, 3.0, 4.0, 5.0)}},
    ),
    Fault.FLOOD: (
        "background",
        {
            "Asked, by class": {"background": flat(700)},
            "Queue size": {"background": flat(180)},
            # What a flood does besides: larger and longer batches, late loops, refusals.
            "Engine time": {"p50 cnn_lstm:1": flat(0.012)},
            "Batch size": {"cnn_lstm:1": flat(20)},
            "Event loop lag": {"a": flat(0.09), "b": flat(0.08), "p99 of all": flat(0.07)},
            "Shed": {"background QUEUE_FULL": flat(30)},
        },
    ),
    Fault.LOOP_BLOCKED: ("a", {"Event loop lag": {"a": flat(0.25), "p99 of all": flat(0.24)}}),
    Fault.ENGINE_SLOW: (
        "cnn_lstm:1",
        {"Engine time": {"p50 cnn_lstm:1": flat(0.031)}, "Batch size": {"cnn_lstm:1": flat(1.4)}},
    ),
    Fault.STORE_GONE: ("", {"Stores that fail": {"windows": flat(2)}}),
    Fault.CANDIDATE_DISAGREES: ("cnn_lstm candidate", {"Disagreement": {"cnn_lstm candidate": flat(0.6)}}),
    Fault.COLLECTOR_GONE: ("", {"Exporters": {"spans exported": flat(0), "spans dropped": flat(290)}}),
}


@pytest.mark.parametrize("fault", Fault)
def test_each_fault_is_named_by_its_picture(fault: Fault) -> None:
    """The name, whom it is about, and the panels that led to it, which the dashboard has."""
    subject, picture = PICTURES[fault]
    found = read(picture)
    assert (found.fault, found.subject) == (fault, subject)
    titles = {title for title, *_ in panels.targets()}
    assert [step.panel for step in found.trail if step.panel not in titles] == []
    assert found.trail
    assert all(step.seen and step.conclusion for step in found.trail)


@given(
    factors=st.lists(st.floats(0.5, 1.4), min_size=6, max_size=6),
    stretch=st.floats(0.2, 5.0),
)
def test_noise_is_no_fault(factors: list[float], stretch: float) -> None:
    """Lines that waver by half around what they were name nothing, at any speed of the machine and any load."""
    before = {
        panel: {legend: tuple(stretch * value for value in line) for legend, line in lines.items()}
        for panel, lines in CALM.items()
    }
    now = {
        panel: {
            legend: tuple(value * factor for value, factor in zip(line, factors, strict=True))
            for legend, line in lines.items()
        }
        for panel, lines in before.items()
    }
    assert diagnose(Reading(before=before, now=now)).fault is Fault.NONE


def test_single_late_moments_are_no_blocked_loop() -> None:
    """A replica's line is the worst of ten seconds: it stands high after one late moment, and the quantile does not."""
    assert read({"Event loop lag": {"a": flat(0.9)}}).fault is Fault.NONE
    assert read({"Event loop lag": {"p99 of all": (0.005, 0.005, 0.9, 0.005, 0.005, 0.005)}}).fault is Fault.NONE


def test_loops_that_are_late_together_have_no_processor() -> None:
    """No replica stands out: it is none of them."""
    found = read({"Event loop lag": {"a": flat(0.3), "b": flat(0.2), "p99 of all": flat(0.2)}})
    assert (found.fault, found.subject) == (Fault.LOOP_BLOCKED, "a, b")
    assert found.trail[-1].conclusion == "no processor is left for any"


def test_larger_batches_take_longer_and_the_engine_is_well() -> None:
    """Twenty times the windows in twelve times the time is no slow engine."""
    grown: Picture = {"Engine time": {"p50 cnn_lstm:1": flat(0.012)}, "Batch size": {"cnn_lstm:1": flat(22)}}
    assert read(grown).fault is Fault.NONE


def test_a_cause_is_read_before_its_effects() -> None:
    """A replica that died breaks spans and delays loops; it is the replica."""
    both = {**PICTURES[Fault.COLLECTOR_GONE][1], **PICTURES[Fault.LOOP_BLOCKED][1], **PICTURES[Fault.REPLICA_LOST][1]}
    assert read(both).fault is Fault.REPLICA_LOST


def test_what_was_there_before_is_no_news() -> None:
    """A store that failed before the call, and a shadow that always disagreed, are not what somebody is called for."""
    old = changed({"Stores that fail": {"windows": flat(2)}, "Disagreement": {"cnn_lstm shadow": flat(0.5)}})
    assert diagnose(Reading(before=old, now=old)).fault is Fault.NONE


def test_lines_are_read_as_they_are_drawn() -> None:
    """A gap is no sample; a line that ends is not there; nothing at all is a height of 0."""
    line = (1.0, NAN, 3.0, 5.0)
    assert (level(line), peak(line), is_there(line)) == (3.0, 5.0, True)
    assert (level(()), peak(()), is_there(())) == (0.0, 0.0, False)
    assert not is_there((1.0, NAN))


def test_legends_are_filled_as_grafana_fills_them() -> None:
    """A label stands in place of its name; one that is absent leaves nothing."""
    assert panels.filled("{{model}}:{{version}} {{arm}}", {"model": "m", "version": "3"}) == "m:3 "


def test_the_document_tells_of_every_fault() -> None:
    """docs/drill.md has an entry for each fault that the drill injects."""
    text = (ROOT / "docs/drill.md").read_text(encoding="utf-8")
    headings = {heading.lower() for heading in re.findall(r"^## (.+)$", text, flags=re.MULTILINE)}
    assert {fault.value.lower() for fault in Fault if fault is not Fault.NONE} - headings == set()
