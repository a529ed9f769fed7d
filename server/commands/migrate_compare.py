"""The commands of `tickserve migrate` that compare the two services' answers."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from server.commands.console import fail
from server.commands.migrate_options import Folder, Json, address, host_and_port
from server.migration import report_file
from server.migration.agreement import Agreement, AgreementReport, Limits, as_dict

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

_USAGE = 2
_REPORT_INTERVAL = 1.0

Old = Annotated[str, typer.Option(metavar="HOST:PORT", help="The old service.")]
New = Annotated[str, typer.Option(metavar="HOST:PORT", help="HTTP side of this service.")]
ApiKey = Annotated[
    str | None,
    typer.Option(envvar="TICKSERVE_API_KEY", help="Key for this service.", show_default="as the caller sends it"),
]
MinWindows = Annotated[int, typer.Option(min=0, help="Least number of windows that must have been compared.")]
MinAgreement = Annotated[float, typer.Option(min=0, max=1, help="Least share of them with the same likeliest class.")]
MaxDifference = Annotated[float, typer.Option(min=0, max=1, help="Largest difference of any probability.")]
MaxFailures = Annotated[
    float, typer.Option(min=0, max=1, help="Largest share of requests that only the old service answers.")
]
_LIMITS = Limits()


def mirror(
    old: Old = "127.0.0.1:8100",
    new: New = "127.0.0.1:8000",
    listen: Annotated[str, typer.Option(metavar="HOST:PORT", help="Where the split sends the sample.")] = (
        "127.0.0.1:8090"
    ),
    api_key: ApiKey = None,
    new_timeout: Annotated[float, typer.Option(min=0.1, help="Seconds that a copy may take.")] = 10.0,
    folder: Folder = Path("var/migration"),
    as_json: Json = False,
) -> None:
    """Hand requests to the old service and its answers back; put copies to this one and compare, until a signal.

    The figures are in the folder's agreement.json, a second old at most; `verdict` reads them.

    Example: tickserve migrate mirror --old 127.0.0.1:8100 --new 127.0.0.1:8000

    Exit codes: 0 stopped by a signal; 1 it could not start, or the report cannot be written; 2 wrong usage.
    """
    from server.migration.mirror_proxy import MirrorPlan, MirrorProxy, serve

    host, port = host_and_port(listen, "--listen")
    plan = MirrorPlan(
        old=f"http://{address(old, '--old')}",
        new=f"http://{address(new, '--new')}",
        api_key=api_key,
        new_timeout=new_timeout,
    )
    agreement = Agreement()
    path = folder.absolute() / report_file.REPORT_FILE

    def ready(bound: int) -> None:
        where = f"{host}:{bound}"
        typer.echo(json.dumps({"ready": True, "http": where}) if as_json else f"mirror ready http={where}")

    async def run() -> None:
        stop = asyncio.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        keeping = asyncio.create_task(report_file.keep(path, agreement, interval=_REPORT_INTERVAL))
        # A mirror whose figures are lost is of no use: it ends, and the split sends its callers to the old service.
        keeping.add_done_callback(lambda _: stop.set())
        await serve(MirrorProxy(plan, agreement), host=host, port=port, stop=stop, on_ready=ready)
        keeping.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await keeping
        report_file.write(path, agreement.report())

    try:
        asyncio.run(run())
    except OSError as error:
        fail(f"cannot listen on {listen}: {error}")
    except report_file.ReportError as error:
        fail(str(error))
    _tell(agreement.report(), as_json)


def compare(
    windows: Annotated[
        Path,
        typer.Argument(metavar="FILE", help="Windows, .npy float32 [n][50][60], or bars, .csv.", show_default=False),
    ],
    old: Old = "127.0.0.1:8100",
    new: New = "127.0.0.1:8000",
    count: Annotated[int, typer.Option(min=1, help="Windows to compare at most.")] = 1000,
    concurrency: Annotated[int, typer.Option(min=1, max=256, help="Windows under way at once.")] = 1,
    timeout: Annotated[float, typer.Option(min=0.1, help="Seconds for an answer.")] = 10.0,
    api_key: ApiKey = None,
    min_windows: MinWindows = 1,
    min_agreement: MinAgreement = _LIMITS.agreement,
    max_difference: MaxDifference = _LIMITS.difference,
    max_failures: MaxFailures = _LIMITS.failures,
    as_json: Json = False,
) -> None:
    """Put the same windows to both services, and judge whether their answers are the same.

    Example: tickserve migrate compare data/eurusd_1h.csv --old 127.0.0.1:8100 --new 127.0.0.1:8000 --count 200

    Exit codes: 0 within every limit; 1 beyond one; 2 wrong usage, or windows that cannot be read.
    """
    from server.migration.side_by_side import Side
    from server.migration.side_by_side import compare as compare_sides

    own = {} if api_key is None else {"authorization": f"Bearer {api_key}"}
    sides = (
        Side(url=f"http://{address(old, '--old')}", headers={}),
        Side(url=f"http://{address(new, '--new')}", headers=own),
    )
    given = _windows(windows, count)
    agreement = asyncio.run(compare_sides(given, old=sides[0], new=sides[1], timeout=timeout, concurrency=concurrency))
    limits = Limits(windows=min_windows, agreement=min_agreement, difference=max_difference, failures=max_failures)
    _judge(agreement.report(), limits, as_json)


def verdict(
    min_windows: MinWindows = _LIMITS.windows,
    min_agreement: MinAgreement = _LIMITS.agreement,
    max_difference: MaxDifference = _LIMITS.difference,
    max_failures: MaxFailures = _LIMITS.failures,
    folder: Folder = Path("var/migration"),
    as_json: Json = False,
) -> None:
    """Judge what the mirror has seen: whether more callers may be moved.

    Example: tickserve migrate verdict --min-windows 10000 && tickserve migrate split 20

    Exit codes: 0 within every limit; 1 beyond one; 2 wrong usage, or there is no report.
    """
    try:
        report = report_file.read(folder.absolute() / report_file.REPORT_FILE)
    except report_file.ReportError as error:
        fail(str(error), code=_USAGE)
    limits = Limits(windows=min_windows, agreement=min_agreement, difference=max_difference, failures=max_failures)
    _judge(report, limits, as_json)


def _windows(path: Path, count: int) -> npt.NDArray[np.float32]:
    # It takes a second to import; `--help` does without.
    import numpy as np

    from model.dataset import load_windows
    from model.errors import ModelError

    try:
        if path.suffix == ".csv":
            return load_windows(path, limit=count)
        loaded = np.load(path, allow_pickle=False)[:count]
    except (OSError, ValueError, ModelError) as error:
        fail(f"{path} cannot be read: {error}", code=_USAGE)
    if loaded.ndim != 3 or not np.issubdtype(loaded.dtype, np.floating) or not len(loaded):
        fail(f"{path} holds no windows: they are floats of [n][features][steps].", code=_USAGE)
    return np.asarray(loaded, dtype=np.float32)


def _judge(report: AgreementReport, limits: Limits, as_json: bool) -> None:
    misses = report.misses(limits)
    if as_json:
        typer.echo(json.dumps({"ok": not misses, "misses": misses} | as_dict(report)))
    else:
        _tell(report, as_json)
        for miss in misses:
            typer.echo(f"no: {miss}")
        typer.echo(f"verdict: {'stop' if misses else 'go on'}")
    if misses:
        raise typer.Exit(1)


def _tell(report: AgreementReport, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(as_dict(report)))
        return
    same = report.same_class / report.windows if report.windows else 0.0
    differ = f"{report.largest_probability_difference:.2e} at most, {report.mean_probability_difference:.2e} on average"
    lost = f"unreadable: {report.unreadable}; dropped: {report.dropped}; too large: {report.too_large}"
    typer.echo(f"windows compared: {report.windows} in {report.compared_requests} requests")
    typer.echo(f"same likeliest class: {same:.4%}")
    typer.echo(f"probabilities differ by {differ}; regressions by {report.largest_regression_difference:.2e} at most")
    for name, side in (("old", report.old_latency), ("new", report.new_latency)):
        typer.echo(f"latency {name}: p50 {side.p50:.1f} ms, p95 {side.p95:.1f} ms, p99 {side.p99:.1f} ms")
    typer.echo(f"failures, old: {report.old_failures or 'none'}; only new: {report.new_failures or 'none'}; {lost}")
