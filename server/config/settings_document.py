"""The reference of all settings, `docs/settings.md`, written from the settings themselves so that it cannot drift.

Run `python -m server.config.settings_document > docs/settings.md` after a change; a test compares the two.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator

from pydantic import BaseModel

from server.config.settings import Settings

_HEAD = """\
# Settings

Written by `python -m server.config.settings_document`; do not edit.

Set them in a TOML file that `TICKSERVE_CONFIG` names (default: `tickserve.toml` in the working directory), or in the
environment, which wins; options of `tickserve serve` win over both. Unknown keys are refused.

| setting | environment | default | meaning |
|---|---|---|---|
"""


def render() -> str:
    """Returns the document."""
    return _HEAD + "".join(f"{row}\n" for row in _rows(Settings, ()))


def _rows(model: type[BaseModel], path: tuple[str, ...]) -> Iterator[str]:
    for name, field in model.model_fields.items():
        here = (*path, name)
        inner = field.annotation
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            yield from _rows(inner, here)
        else:
            variable = "TICKSERVE_" + "__".join(here).upper()
            yield f"| `{'.'.join(here)}` | `{variable}` | `{field.default}` | {field.description} |"


if __name__ == "__main__":
    sys.stdout.write(render())
