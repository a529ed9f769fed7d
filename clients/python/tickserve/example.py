"""Made-up windows, to try the service with: well-formed, of a model's own shape, and about nothing."""

from __future__ import annotations

import numpy as np

from tickserve.catalog import Model
from tickserve.window import Window

__all__ = ("example_window",)


def example_window(model: Model, seed: int = 0) -> Window:
    """Makes a window for a model: each feature wanders about zero, as a normalised one would.

        >>> with tickserve.Client("127.0.0.1:9000") as client:
        ...     window = tickserve.example_window(client.model())
        ...     prediction = client.predict(window)
        >>> window.feature_count, window.time_steps, sorted(prediction.classes)
        (50, 60, ['buy', 'hold', 'sell'])

    Args:
        model: As `Client.model` describes it.
        seed: Makes another one; the same seed makes the same.
    """
    generator = np.random.default_rng(seed)
    steps = generator.normal(size=(model.feature_count, model.time_steps))
    values = np.empty_like(steps)
    level = steps[:, 0]
    for step in range(model.time_steps):
        level = 0.9 * level + np.sqrt(1 - 0.9**2) * steps[:, step]  # keeps the variance at one
        values[:, step] = level
    return Window.from_array(values, feature_schema=model.feature_schema)
