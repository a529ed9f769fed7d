"""A service whose keys cannot be read is not started: whoever starts it is told at once, in one line."""

from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from server.commands import serve


@pytest.mark.parametrize(("content", "words"), [(None, "tickserve keys add"), ("{", "not a file of API keys")])
def test_unreadable_keys_are_told_before_anything_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str | None, words: str
) -> None:
    """With exit code 1 and the remedy."""

    def started(*_: object, **__: object) -> None:
        raise AssertionError("it was started")

    path = tmp_path / "keys.json"
    if content is not None:
        path.write_text(content)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TICKSERVE_SECURITY__KEYS_FILE", str(path))
    monkeypatch.setattr(serve, "serve_until_signalled", started)
    app = typer.Typer()
    app.command()(serve.serve)
    result = CliRunner().invoke(app, [])
    assert (result.exit_code, words in result.stderr) == (1, True)
