"""What a page of metrics says, read with Prometheus's own parser for Python."""

from __future__ import annotations

from prometheus_client.parser import text_string_to_metric_families


class Scraped:
    """One page.

    Args:
        page: As it was served.
    """

    def __init__(self, page: bytes) -> None:
        self.text = page.decode()
        self._samples = [s for family in text_string_to_metric_families(self.text) for s in family.samples]

    def value(self, name: str, **labels: str) -> float:
        """Returns the sum of all samples of a name that have these labels, and 0 if there is none."""
        return sum(s.value for s in self._samples if s.name == name and labels.items() <= s.labels.items())

    def labels(self, name: str) -> list[dict[str, str]]:
        """Returns the labels of all samples of a name."""
        return [dict(s.labels) for s in self._samples if s.name == name]

    def names(self) -> set[str]:
        """Returns the names of all samples."""
        return {s.name for s in self._samples}
