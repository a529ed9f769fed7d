"""What the Python client is told of the input that the example programs make up: theirs must be the same."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

import numpy as np
import numpy.typing as npt

from tests.clients.example import Line
from tickserve import Bar, Client, Prediction, TickPrediction

HISTORY_BARS = 119
TICK_BARS = 5
_TIMEOUT = 20.0

Window = npt.NDArray[np.float32]


def made_window() -> Window:
    """Returns the window that each program makes up, float32 [50, 60]."""
    numbers = np.arange(50 * 60)
    return ((numbers * 37 % 201 - 100) / 50).astype(np.float32).reshape(50, 60)


def made_bar(number: int, interval: float) -> Bar:
    """Returns the bar that each program makes up; `interval` is in seconds."""

    def price(at: int) -> float:
        return 1.1 + (at * 37 % 101 - 50) / 10_000

    opened, closed = price(number), price(number + 1)
    return Bar(
        datetime(2024, 1, 1, tzinfo=UTC) + timedelta(seconds=number * interval),
        opened,
        max(opened, closed) + 0.0004,
        min(opened, closed) - 0.0004,
        closed,
        1_000 + number * 53 % 97 * 10,
    )


def tick_answers(client: Client, symbol: str) -> list[Prediction]:
    """Streams the made-up bars as the programs do, and returns the predictions in order."""
    with client.stream_ticks([symbol], priority="real_time") as stream:
        interval = stream.opened.bar_interval

        def feed() -> None:
            stream.history(symbol, [made_bar(number, interval) for number in range(HISTORY_BARS)])
            for number in range(HISTORY_BARS, HISTORY_BARS + TICK_BARS):
                stream.tick(symbol, made_bar(number, interval), valid_duration=_TIMEOUT)
            stream.finish()

        feeder = threading.Thread(target=feed)
        feeder.start()
        answers = [event.prediction for event in stream if isinstance(event, TickPrediction)]
        feeder.join()
    return answers


def numbers_of(prediction: Prediction) -> dict[str, np.float32 | str]:
    """Returns what a program's line must say of a prediction."""
    found: dict[str, np.float32 | str] = {
        "model": f"{prediction.model.name}/{prediction.model.version}",
        "input": prediction.input.sha256,
    }
    found |= {label: np.float32(probability) for label, probability in prediction.classes.items()}
    for name, regression in prediction.regressions.items():
        found[name] = np.float32(regression.mean)
        found[f"{name}_deviation"] = np.float32(regression.standard_deviation)
    return found


def numbers_in(line: Line, like: Mapping[str, np.float32 | str]) -> dict[str, np.float32 | str]:
    """Returns the same of a program's line: floats to the last bit, for nine digits tell any two of them apart."""
    return {name: line[name] if isinstance(value, str) else np.float32(line[name]) for name, value in like.items()}
