"""The commands and programs that a page shows, as a reader would type them."""

import os
import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Block:
    """One fenced block of a page."""

    language: str
    text: str

    def commands(self) -> list[str]:
        """Returns the commands of a shell block: comments cut, continued lines joined."""
        joined = self.text.replace("\\\n", " ")
        lines = (re.sub(r"(^|\s)#.*$", "", line).strip() for line in joined.splitlines())
        return [line for line in lines if line]


def blocks(page: str) -> list[Block]:
    """Returns the blocks of a page of the repository, in order."""
    text = (ROOT / page).read_text(encoding="utf-8")
    return [Block(match.group(1), match.group(2)) for match in _FENCE.finditer(text)]


def commands(page: str) -> list[str]:
    """Returns the shell commands of a page, in order."""
    return [command for block in blocks(page) if block.language == "sh" for command in block.commands()]


def as_here(text: str, *, target: str, http: str) -> str:
    """Returns what a page says to type with this environment's programs and a test's service in place of the defaults.

    Args:
        text: Commands, or a program.
        target: Address of the gRPC side.
        http: URL of the HTTP side.
    """
    programs = str(Path(os.environ.get("VIRTUAL_ENV", ROOT / ".venv")) / "bin")
    here = text.replace(".venv/bin", programs)
    here = here.replace("127.0.0.1:9000", target).replace("http://127.0.0.1:8000", http)
    # What a page allows is for a machine that has nothing else to do.
    here = re.sub(r"--timeout 0\.1(?=\s|$)", "--timeout 5", here)
    here = re.sub(r"timeout=0\.(05|1)\)", "timeout=5)", here)
    return here.replace("X-Deadline-Ms: 100'", "X-Deadline-Ms: 5000'")
