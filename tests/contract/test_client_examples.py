"""Every example of the Python client's docstrings and README runs, against a real replica on a socket."""

import asyncio
import doctest
import importlib
import itertools
import pkgutil
import re
import textwrap
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

import tickserve
from scripts.layering import ROOT
from server.config.settings import Settings
from tests.support.registry import DATA, make_registry
from tests.support.service import settings_for
from tests.support.threaded_service import serving_in_thread
from tickserve import Bar
from tickserve.cli.bar_file import read_bars

SYMBOLS = itertools.count()
README = ROOT / "clients/python/README.md"
MODULES = [
    importlib.import_module(name)
    for name in ["tickserve", *sorted(item.name for item in pkgutil.walk_packages(tickserve.__path__, "tickserve."))]
    if not name.startswith("tickserve.v1")
]
EXAMPLES = [
    example
    for module in MODULES
    for example in doctest.DocTestFinder(recurse=True).find(module, module.__name__)
    if example.examples
]


def blocks() -> list[str]:
    """Returns the README's pieces of Python."""
    return re.findall(r"^```python\n(.*?)^```", README.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """A small replica with the contract's usual features."""
    return settings_for(make_registry(tmp_path_factory.mktemp("registry"), versions=1))


@pytest.fixture(scope="module")
def target(settings: Settings) -> Iterator[str]:
    """The address of a replica."""
    with serving_in_thread(settings) as address:
        yield address


def local(source: str, target: str) -> str:
    """Returns an example for the test's own service, with a symbol of its own and time enough for a busy machine."""
    source = source.replace("EURUSD", f"EURUSD-{next(SYMBOLS)}")
    source = source.replace("127.0.0.1:9000", target).replace("timeout=0.050", "timeout=30")
    return source.replace("AsyncClient()", f'AsyncClient("{target}")')


def names() -> dict[str, Any]:
    """Returns what the examples take as given: the package, and a user's bars."""
    bars: list[Bar] = list(read_bars(Path(DATA)))[:130]

    async def live() -> AsyncIterator[Bar]:
        for bar in bars[125:]:
            yield bar

    return {"tickserve": tickserve, "past_bars": bars[:125], "new_bars": bars[125:], "live_bars": live()}


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: str(example.name))
def test_an_example_in_a_docstring_runs(example: doctest.DocTest, target: str) -> None:
    """It does and prints what it says."""
    module = importlib.import_module(next(m.__name__ for m in MODULES if m.__file__ == example.filename))
    assert example.docstring is not None
    globs = {**vars(module), **names()}
    source = local(example.docstring, target)
    parsed = doctest.DocTestParser().get_doctest(source, globs, example.name, example.filename, example.lineno)
    told: list[str] = []
    doctest.DocTestRunner().run(parsed, out=told.append)
    assert not told, "".join(told)


def test_no_example_is_left_out() -> None:
    """None is skipped, and there are some of those that need a service."""
    assert not [example.name for example in EXAMPLES if "+SKIP" in (example.docstring or "")]
    live = {example.name for example in EXAMPLES if "127.0.0.1:9000" in (example.docstring or "")}
    assert live >= {"tickserve", "tickserve.tick_stream.TickStream", "tickserve.example.example_window"}


def test_the_readme_predicts(target: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The first example prints an answer."""
    first, _ = blocks()
    exec(compile(local(first, target), str(README), "exec"), names())
    assert re.search(r"^(sell|hold|buy) \{", capsys.readouterr().out, flags=re.MULTILINE)


def test_the_readme_streams(target: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The second prints a prediction for each live bar."""
    _, second = blocks()
    scope = {**names(), "asyncio": asyncio}
    exec(compile(f"async def main():\n{textwrap.indent(local(second, target), '    ')}", str(README), "exec"), scope)
    asyncio.run(scope["main"]())
    told = capsys.readouterr().out.splitlines()
    assert [line.split("-")[0] for line in told] == ["EURUSD"] * 5
    assert {line.split()[1] for line in told} <= {"sell", "hold", "buy"}
