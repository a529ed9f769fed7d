"""The oracle sees what is wrong, and finds nothing wrong in what is right."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest
import torch

from benchmarks.chaos.oracle import WIDTH, Oracle, values_of
from benchmarks.chaos.record import End, Record
from benchmarks.chaos.windows import HISTORY, Windows, digest, tick_key, unary_key
from model.network import HybridNetwork
from model.parity import eager_outputs
from tests.support.registry import BAR_INTERVAL, SMALL, make_config, real_bars, real_windows
from tickserve import Prediction
from tickserve.v1 import prediction_pb2

KEYS = [*map(unary_key, range(8)), *(tick_key(3, sequence) for sequence in range(1, 9))]


@pytest.fixture(scope="module")
def network() -> HybridNetwork:
    """A small network with random weights, whose answers differ from window to window."""
    config = make_config()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(7)
        network = HybridNetwork(SMALL)
    network.set_normalisation(config.feature_normalisation, config.target_normalisation)
    return network


@pytest.fixture(scope="module")
def windows() -> Windows:
    """The windows of all callers."""
    return Windows(bar_interval=BAR_INTERVAL)


@pytest.fixture(scope="module")
def right(network: HybridNetwork, windows: Windows) -> list[Record]:
    """What callers see of a service that is right."""
    made = [windows.window(key) for key in KEYS]
    outputs = eager_outputs(network, np.stack(made))
    records = []
    for index, (key, window) in enumerate(zip(KEYS, made, strict=True)):
        row = outputs.row(index)
        message = prediction_pb2.Prediction(
            classes=[
                prediction_pb2.ClassProbability(label=label, probability=value)
                for label, value in zip(("sell", "hold", "buy"), row.class_probabilities, strict=True)
            ],
            regressions=_regressions(row.regression_mean.tolist(), row.regression_standard_deviation.tolist()),
            ensemble=prediction_pb2.Ensemble(
                classes=[
                    prediction_pb2.ClassProbability(label=label, probability=value)
                    for label, value in zip(("sell", "hold", "buy"), row.ensemble_class_probabilities, strict=True)
                ],
                regressions=_regressions(
                    row.ensemble_regression_mean.tolist(), row.ensemble_regression_standard_deviation.tolist()
                ),
                weights=row.ensemble_weights,
            ),
        )
        values = values_of(Prediction.from_proto(message))
        records.append(Record("standard", key, 0, 1, 0.5, End.ANSWERED, values=values, digest=digest(window)))
    return records


def _regressions(means: Sequence[float], deviations: Sequence[float]) -> list[prediction_pb2.Regression]:
    return [
        prediction_pb2.Regression(name=name, mean=mean, standard_deviation=deviation)
        for name, mean, deviation in zip(("return", "volatility"), means, deviations, strict=True)
    ]


def test_right_answers_pass(network: HybridNetwork, windows: Windows, right: list[Record]) -> None:
    """The eager network's own answers, through the contract's messages, are right."""
    assert all(len(record.values) == WIDTH for record in right)
    assert Oracle(network, windows).wrong(right) == []


@pytest.mark.parametrize("place", range(WIDTH))
def test_each_figure_that_is_tampered_with_is_found(
    network: HybridNetwork, windows: Windows, right: list[Record], place: int
) -> None:
    """Any one of the 19, by a tenth of itself and a thousandth."""
    record = right[place % len(right)]
    values = list(record.values)
    values[place] = values[place] * 1.1 + 1e-3
    tampered = record._replace(values=tuple(values))
    found = Oracle(network, windows).wrong([right[0], tampered])
    assert [each for each, _ in found] == [tampered]


def test_a_neighbours_answer_is_found(network: HybridNetwork, windows: Windows, right: list[Record]) -> None:
    """Two rows of one batch that are mixed up are both wrong, though both are answers of the network."""
    first, second = right[0], right[1]
    swapped = [first._replace(values=second.values), second._replace(values=first.values)]
    assert [each for each, _ in Oracle(network, windows).wrong([*swapped, *right[2:]])] == swapped


@pytest.mark.parametrize(
    "spoil",
    [
        lambda record: record._replace(digest="0" * 64),
        lambda record: record._replace(values=record.values[:-5]),
        lambda record: record._replace(values=(float("nan"), *record.values[1:])),
        lambda record: record._replace(key=unary_key(4711)),
    ],
    ids=["about another window", "incomplete", "not a number", "of another question"],
)
def test_other_answers_are_found(
    network: HybridNetwork, windows: Windows, right: list[Record], spoil: Callable[[Record], Record]
) -> None:
    """An answer must be whole, finite and about the window that was asked about."""
    assert len(Oracle(network, windows).wrong([spoil(right[0])])) == 1


def test_refusals_and_silence_are_not_wrong(network: HybridNetwork, windows: Windows, right: list[Record]) -> None:
    """Only what was answered can be wrong."""
    ended = [right[0]._replace(end=end, values=()) for end in (End.REFUSED, End.SILENT)]
    assert Oracle(network, windows).wrong(ended) == []


def test_the_oracle_is_not_blind(network: HybridNetwork, windows: Windows) -> None:
    """No window's answer passes for its neighbour's; where all windows are one, every one does."""
    oracle = Oracle(network, windows)
    assert oracle.blindness(KEYS) == 0
    assert oracle.blindness([KEYS[0]] * 4) == 1


def test_windows_follow_from_their_keys(windows: Windows) -> None:
    """The same key, the same window, in every process; other keys, others."""
    again = Windows(bar_interval=BAR_INTERVAL)
    assert [digest(again.window(key)) for key in KEYS] == [digest(windows.window(key)) for key in KEYS]
    assert len({digest(windows.window(key)) for key in KEYS}) == len(KEYS)


def test_a_ticks_window_is_that_of_the_training_data(windows: Windows) -> None:
    """Symbol 0's bars are the file's: its first tick's window is the file's first."""
    assert windows.bar(0, HISTORY).close == real_bars(HISTORY + 1)[HISTORY].close
    assert np.array_equal(windows.window(tick_key(0, 1)), real_windows()[0])
