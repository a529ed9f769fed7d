"""The table of the original's values in docs/autoscaling.md: what it calls honoured is in the presets, all of them."""

import re

import pytest

from scripts.layering import ROOT
from server.config.autoscaling_settings import AutoscalingSettings
from server.config.resource_presets import RESOURCES, gpu_share
from server.config.scale_profiles import SCALE_PROFILES, ScaleProfile

PAGE = (ROOT / "docs" / "autoscaling.md").read_text(encoding="utf-8")
TABLE = PAGE[PAGE.index("## Every value of the originals") :]
ROWS = [
    [cell.strip() for cell in line.strip("| \n").split(" | ")] for line in TABLE.splitlines() if line.startswith("| ")
]
HONOURED = dict(re.findall(r"\| honoured \| `([a-z_.]+)` = ([\d.]+)", TABLE))
NAMED = {f"{name}.{field}" for name in SCALE_PROFILES for field in ScaleProfile.model_fields} | {
    f"{name}.{field}" for name in RESOURCES for field in ("cpus", "gpus", "memory")
}


@pytest.mark.parametrize("name", sorted(HONOURED))
def test_an_honoured_value_is_the_presets(name: str) -> None:
    """Number for number."""
    group, _, field = name.partition(".")
    if group == "autoscaling":
        value = AutoscalingSettings.model_fields[field].default
    elif group in RESOURCES:
        value = getattr(RESOURCES[group], field)
    else:
        value = getattr(SCALE_PROFILES[group], field)  # type: ignore[index]
    assert float(HONOURED[name]) == float(value)


def test_every_value_of_the_presets_has_its_row() -> None:
    """So a preset cannot be changed, or grow, without the page."""
    assert {name for name in HONOURED if not name.startswith("autoscaling.")} == NAMED


def test_every_row_says_what_became_of_the_value() -> None:
    """Honoured, mapped or refused; and where, or why."""
    for row in ROWS[1:]:
        assert len(row) == 5, row
        assert row[3] in ("honoured", "mapped", "refused"), row
        assert row[4], row


def test_the_share_of_a_gpu_is_the_originals() -> None:
    """Of batches of 1, 32, 64, 128 and 256 windows."""
    assert [gpu_share(size) for size in (1, 32, 64, 128, 256)] == [0.01, 0.25, 0.5, 1.0, 1.0]
