"""Answers that need not be computed again: by window, and by request id."""
