"""The page of errors has every reason once, below its own gRPC code."""

import re
from pathlib import Path

from server.refusal import Reason
from server.rpc.errors import CODES

PAGE = Path(__file__).parents[3] / "docs/errors.md"


def reasons_by_code(page: str) -> dict[str, str]:
    """Returns the code of each reason, as the page's headings and tables have it."""
    found: dict[str, str] = {}
    code = ""
    for line in page.splitlines():
        if heading := re.fullmatch(r"## .*: ([A-Z_]+)", line):
            code = heading.group(1)
        elif row := re.match(r"\| `([A-Z_]+)` \|", line):
            assert row.group(1) not in found, f"{row.group(1)} stands on the page twice"
            found[row.group(1)] = code
    return found


def test_every_reason_stands_below_its_code() -> None:
    """No reason is left out, none is invented, and none is told under another code than the one on the wire."""
    assert reasons_by_code(PAGE.read_text(encoding="utf-8")) == {reason.name: CODES[reason].name for reason in Reason}
