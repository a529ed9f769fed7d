"""Links of pages lead to the same place on the site as in the repository."""

from pathlib import Path

import pytest

from scripts.docs_site import STAGED, pages, rewrite

PLACES = {"docs/limits.md": "limits.md", "docs/adr/0001.md": "adr/0001.md", "CHANGELOG.md": "changelog.md"}


@pytest.mark.parametrize(
    ("place", "source", "link", "turned"),
    [
        pytest.param("limits.md", "docs/limits.md", "adr/0001.md", "adr/0001.md", id="within docs"),
        pytest.param("adr/0001.md", "docs/adr/0001.md", "../limits.md#size", "../limits.md#size", id="a heading stays"),
        pytest.param("changelog.md", "CHANGELOG.md", "docs/limits.md", "limits.md", id="from the root"),
        pytest.param("adr/0001.md", "docs/adr/0001.md", "../../CHANGELOG.md", "../changelog.md", id="to the root"),
        pytest.param("limits.md", "docs/limits.md", "https://grpc.io/", "https://grpc.io/", id="another site's"),
        pytest.param("limits.md", "docs/limits.md", "#size", "#size", id="the page's own"),
        pytest.param(
            "limits.md", "docs/limits.md", "nowhere.md", "nowhere.md", id="nowhere: left for the build to find"
        ),
    ],
)
def test_links_to_pages(place: str, source: str, link: str, turned: str, tmp_path: Path) -> None:
    """A link to a page leads to where the page is on the site."""
    assert rewrite(f"see [there]({link}).", place, source, PLACES, tmp_path) == f"see [there]({turned})."


def test_what_is_no_page_is_downloaded() -> None:
    """A link to a file of the repository that is no page becomes a download of that file."""
    root = STAGED.parents[1]
    places = {source: place for place, source in pages(root).items()}
    text = rewrite("[file](../pyproject.toml)", "limits.md", "docs/limits.md", places, root)
    assert text == "[file](path:../../pyproject.toml)"


def test_examples_are_left_alone() -> None:
    """What stands in a block of code is no link."""
    text = "```\n[there](docs/limits.md)\n```\n"
    assert rewrite(text, "changelog.md", "CHANGELOG.md", PLACES) == text


def test_every_page_of_the_repository_has_a_place() -> None:
    """Pages beside what they are about are on the site, and no two share a place."""
    found = pages()
    assert {"index.md", "contract.md", "errors.md", "changelog.md", "deploy.md", "clients/python.md"} <= set(found)
    assert "benchmarks/telemetry/report.md" in found.values()
