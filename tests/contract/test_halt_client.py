"""Laws of the kill switch in client and command line, against a real replica: words, exit codes, no retries."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from tests.support.registry import NAME, make_registry
from tests.support.service import Service, serving, settings_for
from tickserve import ActiveHalt, AsyncClient, Client, HaltList, HaltTarget, PreconditionError
from tickserve.answer_filter import AnswerFilter
from tickserve.cli.app import build_app
from tickserve.events import SymbolState, TickFailure
from tickserve.halts import halt_scope
from tickserve.tick_buffer import TickBuffer

WINDOW = np.zeros((50, 60), np.float32)


@pytest.fixture
async def service(tmp_path: Path) -> AsyncIterator[Service]:
    """A replica on a socket."""
    registry = await asyncio.to_thread(make_registry, tmp_path, versions=1)
    settings = await asyncio.to_thread(settings_for, registry)
    async with serving(settings) as running:
        yield running


@pytest.mark.parametrize("kind", ["sync", "async"])
async def test_halt_list_and_resume(service: Service, kind: str) -> None:
    """Both clients say the same words; a prediction meanwhile is refused at once, and costs no retry."""

    async def ask(method: str, /, *args: Any, **kwargs: Any) -> Any:
        if kind == "async":
            return await getattr(asynchronous, method)(*args, **kwargs)
        return await asyncio.to_thread(lambda: getattr(synchronous, method)(*args, **kwargs))

    with Client(service.target, default_timeout=30) as synchronous:
        async with AsyncClient(service.target, default_timeout=30) as asynchronous:
            begun = await ask("halt", model=f"{NAME}:1", reason="drill")
            assert isinstance(begun, ActiveHalt)
            assert (begun.scope, begun.reason, begun.author) == (f"model {NAME}:1", "drill", "anonymous")
            assert begun.since.tzinfo is not None
            assert await ask("halts") == HaltList((begun,), stale=False, closed=False)
            with pytest.raises(PreconditionError) as refused:
                await ask("predict", WINDOW)
            assert (refused.value.reason, refused.value.metadata["scope"]) == ("HALTED", begun.scope)
            used = synchronous if kind == "sync" else asynchronous
            assert used.retry_statistics.retries == 0
            assert await ask("resume") is None, "everything was not halted, and the version stays so"
            assert await ask("resume", model=(NAME, 1), reason="over") == begun
            assert (await ask("predict", WINDOW)).model.name == NAME


def test_a_target_must_be_meant() -> None:
    """Nothing is everything; two are one too many, and an empty variable of a script's must not stop it all."""
    assert halt_scope().everything
    assert (halt_scope(model="m").model.name, halt_scope(key_id="k").key_id) == ("m", "k")
    wrongs: tuple[HaltTarget, ...] = ({"model": "m", "symbol": "s"}, {"symbol": ""}, {"model": ""}, {"key_id": ""})
    for wrong in wrongs:
        with pytest.raises(ValueError, match=r"one of model|empty name"):
            halt_scope(**wrong)


@pytest.mark.parametrize(("reason", "is_refused"), [("HALTED", False), ("SYMBOL_NOT_FOUND", True)])
def test_the_tick_of_a_halted_prediction_counts_as_applied(reason: str, *, is_refused: bool) -> None:
    """It used up its number, where a refused tick would be sent again under it."""
    buffer = TickBuffer(10, {"EUR": SymbolState(0, 1, 60, 60)})
    log = buffer.logs["EUR"]
    entry = buffer.add(log, 1, b"", one_row=True, is_reset=False)
    log.fly(entry)
    assert AnswerFilter(buffer).is_news(TickFailure("EUR", 1, PreconditionError("halted", reason=reason)))
    assert entry.refused is is_refused


async def test_the_command_line(service: Service) -> None:
    """Halts, lists and resumes, for people and for programs; what is refused has exit code 1, wrong usage 2."""

    def run(*arguments: str) -> tuple[int, str]:
        env = {"TICKSERVE_TARGET": service.target, "COLUMNS": "200", "NO_COLOR": "1", "TERM": "dumb"}
        result = CliRunner().invoke(build_app(), [*arguments, "--timeout", "30"], env=env)
        return result.exit_code, result.stdout + result.stderr

    async def cli(*arguments: str) -> tuple[int, str]:
        return await asyncio.to_thread(run, *arguments)

    code, text = await cli("halt", "--symbol", "EUR/USD", "--reason", "[bold]feed[/bold]")
    assert (code, text.startswith("halted: symbol EUR/USD, since ")) == (0, True)
    code, text = await cli("halt", "--json")
    assert (code, json.loads(text)["scope"], json.loads(text)["author"]) == (0, "everything", "anonymous")
    code, text = await cli("halts")
    assert (code, "symbol EUR/USD" in text, "[bold]feed[/bold]" in text) == (0, True, True)
    code, text = await cli("halts", "--json")
    assert [one["scope"] for one in json.loads(text)["halts"]] == ["symbol EUR/USD", "everything"]
    assert await cli("resume", "--key-id", "desk") == (
        0, "nothing ended: there was no halt of that target; `tickserve halts` lists them\n",
    )  # fmt: skip
    assert await cli("resume") == (0, "resumed: everything\n")
    assert (
        json.loads((await cli("resume", "--symbol", "EUR/USD", "--json"))[1])["ended"]["reason"] == "[bold]feed[/bold]"
    )
    assert await cli("halts") == (0, "nothing is halted\n")
    assert (await cli("halt", "--symbol", "a b"))[0] == 1
    assert (await cli("halt", "--symbol", "a", "--model", "m"))[0] == 2
    assert (await cli("halt", "--model", ""))[0] == 2
