"""Builds the documentation site into build/docs: the pages of docs/, and those that live beside what they are about.

Pages are written to be read in the repository, so their links lead to files of it. For the site they are copied to one
folder, and each link is turned to where its target lies there: a page, or a file to download. A link that leads nowhere
fails the build. Addresses outside the project are not tried.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path
from posixpath import relpath

ROOT = Path(__file__).resolve().parent.parent
STAGED = ROOT / "build/docs-source"
SITE = ROOT / "build/docs"
# Pages that do not live in docs/, by their place on the site.
OUTSIDE = {
    "changelog.md": "CHANGELOG.md",
    "contributing.md": "CONTRIBUTING.md",
    "deploy.md": "deploy/README.md",
}
_LINK = re.compile(r"(!?\[[^\]]*\]\()([^)\s]+)(\))")
_SCHEME = re.compile(r"[a-z][a-z+.-]*:")


def pages(root: Path = ROOT) -> dict[str, str]:
    """Returns the source of every page, by its place on the site; both relative, with slashes."""
    found = {
        path.relative_to(root / "docs").as_posix(): path.relative_to(root).as_posix()
        for path in sorted((root / "docs").rglob("*.md"))
    }
    found |= OUTSIDE
    for path in sorted(root.glob("clients/*/README.md")):
        found[f"clients/{path.parent.name}.md"] = path.relative_to(root).as_posix()
    for path in sorted(root.glob("benchmarks/**/report.md")):
        name = "-".join(path.relative_to(root / "benchmarks").parent.parts)
        found[f"reports/{name or 'all'}.md"] = path.relative_to(root).as_posix()
    return found


def rewrite(text: str, place: str, source: str, places: dict[str, str], root: Path = ROOT) -> str:
    """Returns a page's text with its links turned to the site's.

    Args:
        text: Markdown as it stands in the repository.
        place: Where the page goes, relative to the site.
        source: Where it comes from, relative to the repository.
        places: The place of every page, by its source.
        root: The repository.
    """
    here = Path(place).parent.as_posix()

    def turned(match: re.Match[str]) -> str:
        opening, target, closing = match.groups()
        path, mark, heading = target.partition("#")
        if _SCHEME.match(target) or not path:
            return match.group()
        aim = relpath((root / source).parent.joinpath(path).resolve(), root)
        if aim in places:
            return f"{opening}{relpath(places[aim], here)}{mark}{heading}{closing}"
        if not (root / aim).is_file():
            # A folder has no page to lead to; what is nowhere is left for the build to find.
            return match.group(1)[1:-2] if (root / aim).is_dir() else match.group()
        outward = relpath(root / aim, STAGED / here)
        return f"{opening}{outward}{closing}" if opening.startswith("!") else f"{opening}path:{outward}{closing}"

    blocks = re.split(r"(^```.*?^```$)", text, flags=re.MULTILINE | re.DOTALL)
    return "".join(part if part.startswith("```") else _LINK.sub(turned, part) for part in blocks)


def stage() -> None:
    """Writes every page, links turned, below `STAGED`."""
    shutil.rmtree(STAGED, ignore_errors=True)
    sources = pages()
    places = {source: place for place, source in sources.items()}
    for place, source in sources.items():
        target = STAGED / place
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(rewrite((ROOT / source).read_text(encoding="utf-8"), place, source, places), encoding="utf-8")


def main() -> None:
    """Builds the site; a warning is an error."""
    stage()
    command = [
        sys.executable,
        "-m",
        "sphinx",
        "-q",
        "-W",
        "--keep-going",
        "-c",
        str(ROOT / "docs"),
        "-d",
        str(ROOT / "build/docs-state"),
        "-b",
        "html",
        str(STAGED),
        str(SITE),
    ]
    if done := subprocess.run(command, check=False).returncode:
        raise SystemExit(done)


if __name__ == "__main__":
    main()
