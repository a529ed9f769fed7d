"""How Sphinx builds the documentation: `make docs`. Every page is Markdown that also reads well in the repository."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sphinx.application import Sphinx

ROOT = Path(__file__).resolve().parent.parent

project = "tickserve"
version = release = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx_copybutton"]
exclude_patterns = ["_build"]
suppress_warnings = ["myst.strikethrough"]

# Links to headings, as in operations.md#gpu, are checked like links to pages.
myst_heading_anchors = 4
myst_enable_extensions = ["colon_fence", "deflist"]

html_theme = "furo"
html_title = "tickserve"
html_show_sourcelink = False
html_copy_source = False
# A prompt in an example is not copied with it.
copybutton_prompt_text = r"\$ "
copybutton_prompt_is_regexp = True

autodoc_member_order = "bysource"
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True


def readable_bases(_app: Sphinx, _name: str, _value: object, _options: object, bases: list[type]) -> None:
    """Leaves out a base that says nothing: every class has `object`."""
    bases[:] = [base for base in bases if base is not object]


def setup(app: Sphinx) -> None:
    """Registers the hooks of this file."""
    app.connect("autodoc-process-bases", readable_bases)
