"""The engine call as observers hear of it. It is defined where it is made, for arrows point inward."""

from __future__ import annotations

from server.inference.batch_run import BatchRun

__all__ = ("BatchRun",)
