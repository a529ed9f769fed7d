"""Laws of the split's configuration: the example is what is generated, and no value breaks out of its word."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scripts.layering import ROOT
from server.http.original_routes import RIGHTS
from server.migration.original_answers import COMPARED_PATHS
from server.migration.split_config import SHARED_PATHS, SplitPlan, render

PLAN = SplitPlan(
    folder=Path("/run/tickserve-split"),
    listen="0.0.0.0:8080",
    old="old-service:8000",
    new="tickserve:8000",
    mirror="127.0.0.1:8090",
)


def test_the_example_is_what_is_generated() -> None:
    """`deploy/migration/haproxy.cfg` begins with the command that printed it, and goes on with what it prints."""
    first, _, rest = (ROOT / "deploy/migration/haproxy.cfg").read_text().partition("\n")
    assert first == (
        "# tickserve migrate config --folder /run/tickserve-split --listen 0.0.0.0:8080 --old old-service:8000 "
        "--new tickserve:8000 --mirror 127.0.0.1:8090"
    )
    assert rest == render(PLAN)


def test_what_both_services_answer_is_split_and_nothing_else() -> None:
    """Every path of the original's that this service has is shared, so that no other is sent where nobody has it."""
    assert all(path.startswith(SHARED_PATHS) for path in RIGHTS)
    assert set(RIGHTS) >= COMPARED_PATHS
    assert "/health".startswith(SHARED_PATHS) is False


def test_without_a_mirror_nothing_names_one() -> None:
    """No backend that nobody listens behind."""
    assert "mirror" not in render(replace(PLAN, mirror=None))
    assert "mirror" in render(PLAN)


def test_every_side_falls_back_to_the_old_service() -> None:
    """Each backend ends with it."""
    backends = render(PLAN).split("\nbackend ")[1:]
    assert len(backends) == 3
    assert all(part.strip().endswith("server fallback 'old-service:8000' backup") for part in backends)


def changed(field: str, text: str) -> dict[str, Any]:
    """Returns what `replace` takes to change one field."""
    return {field: Path(text) if field == "folder" else text}


@pytest.mark.parametrize("field", ["listen", "old", "new", "mirror", "old_check", "folder"])
@given(text=st.text(max_size=20).map(lambda text: f"x{text}\n  stats enable"))
def test_a_value_that_is_more_than_one_is_refused(field: str, text: str) -> None:
    """Before HAProxy sees it."""
    with pytest.raises(ValueError, match="cannot stand"):
        render(replace(PLAN, **changed(field, text)))


@pytest.mark.parametrize("folder", ["/run/my split", "/run/a,b", "/run/a(b)", "/run/$HOME"])
def test_a_folder_that_an_expression_would_take_apart_is_refused(folder: str) -> None:
    """It stands inside of one, where quotes do not help."""
    with pytest.raises(ValueError, match="cannot stand"):
        render(replace(PLAN, folder=Path(folder)))
