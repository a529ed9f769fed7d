"""The settings reference in docs/ is the settings themselves."""

from pathlib import Path

from server.config.settings_document import render

DOCUMENT = Path(__file__).parents[4] / "docs/settings.md"


def test_settings_reference_has_not_drifted() -> None:
    """docs/settings.md is what the settings say of themselves; no setting is without a meaning."""
    assert DOCUMENT.read_text() == render(), "run: python -m server.config.settings_document > docs/settings.md"
    assert "| None |" not in render()
