"""The Markdown report of the capacity figures. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from benchmarks.capacity.figures import DISTURBED
from benchmarks.capacity.prediction import TOLERANCE
from benchmarks.markdown import number, percent, table
from benchmarks.markdown import spread as words

_KINDS = {"unary": "unary calls", "ticks": "ticks on streams"}
_MICRO = 1e6


def write(document: Mapping[str, Any]) -> str:
    """Returns the report of what `figures.summarise` returned, with `machine` and `command` added."""
    return "\n".join(_lines(document)) + "\n"


def _lines(document: Mapping[str, Any]) -> Iterator[str]:
    settings = document["settings"]
    yield "# What each part of the service can carry"
    yield ""
    yield (
        "tickserve as shipped on one machine; the load generator shares its cores. "
        f"Median (least to greatest) over {settings['rounds']} rounds; ratios are taken within a round. "
        f"It took {document['elapsed']:.0f} s."
    )
    yield ""
    yield f"Made by `{document['command']}`; the figures are in `results.json`."
    yield ""
    if document["foreign_share"] > DISTURBED:
        share = percent(document["foreign_share"])
        yield f"**Disturbed: other work took up to {share} of the machine. Measure again on a quiet machine.**"
        yield ""
    yield from _serving(document)
    yield from _redis(document["redis"])
    yield from _costs(document)
    yield from _live(document["live"])
    yield "## Machine"
    yield ""
    yield table(["", ""], [[name, value] for name, value in document["machine"].items()])


def _serving(document: Mapping[str, Any]) -> Iterator[str]:
    yield "## Serving alone: a network of a fraction of a millisecond"
    yield ""
    yield (
        "64 in flight. Microseconds of processor time for one answer; the event loop is the replica's own thread. "
        "Bytes are those of the callers' TCP connections."
    )
    yield ""
    rows = []
    for count, kinds in document["serving"].items():
        for kind, title in _KINDS.items():
            figures = kinds[kind]
            rows.append(
                [
                    f"{title}, {count} replica{'s' if count != '1' else ''}",
                    words(figures["per_second"]),
                    words(figures["p50_ms"], unit="ms"),
                    words(figures["p99_ms"], unit="ms"),
                    *(words(_scaled(figures[f"{key}_seconds"], _MICRO)) for key in ("loop", "replica", "haproxy")),
                    words(figures["haproxy_per_core"], digits=4),
                    words(_scaled(figures["client_seconds"], _MICRO)),
                    words(figures["bytes_sent"], digits=5),
                    words(figures["bytes_received"], digits=4),
                    percent(figures["foreign_share"]["max"]),
                    ", ".join(f"{name} {number}" for name, number in figures["outcomes"].items()),
                ]
            )
    header = ["", "answers /s", "p50", "p99", "event loop, us", "replica, us", "HAProxy, us", "a HAProxy core /s"]
    header += ["generator, us", "bytes sent", "bytes received", "CPU of others", "outcomes"]
    yield table(header, rows)
    yield ""
    yield "Two replicas over one:"
    yield ""
    yield table(
        ["", "answers /s", "server's processor time of one answer"],
        [
            [title, words(document["scale"][kind]["per_second"]), words(document["scale"][kind]["server_seconds"])]
            for kind, title in _KINDS.items()
        ],
    )
    yield ""
    yield (
        "On two cores the second replica finds no core that is free: generator and proxy need one. What carries over "
        "to more cores is how an answer's processor time changes with the replicas."
    )
    yield ""
    yield "While nobody calls, part of a core:"
    yield ""
    roles = sorted({role for figures in document["controller"].values() for role in figures})
    yield table(
        ["", *roles],
        [
            [f"{count} replica{'s' if count != '1' else ''}", *(words(figures[role]) for role in roles)]
            for count, figures in document["controller"].items()
        ],
    )
    yield ""


def _redis(figures: Mapping[str, Any] | None) -> Iterator[str]:
    yield "## A tick's cost to the Redis of the windows"
    yield ""
    if figures is None:
        yield "No Redis is installed."
        yield ""
        return
    yield (
        "64 symbols on 4 streams, every tick confirmed as durable. Busy: one tick in flight a symbol; calm: one a "
        "second. Ticks between two rounds of writing become one change a symbol."
    )
    yield ""
    yield table(
        ["", "ticks", "answers /s", "scripts a tick", "commands a tick", "bytes a tick", "Redis, us a tick"],
        [
            [
                name,
                str(row["ticks"]),
                number(row["per_second"]),
                number(row["scripts"]),
                number(row["commands"]),
                number(row["bytes"], digits=4),
                number(_MICRO * row["seconds"]),
            ]
            for name, row in figures.items()
        ],
    )
    yield ""


def _costs(document: Mapping[str, Any]) -> Iterator[str]:
    yield "## The real network on one replica"
    yield ""
    sizes: Mapping[str, float] = document["costs"]["seconds_by_batch_size"]
    shown = [size for size in sizes if int(size) in (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64)] or list(sizes)
    yield "Milliseconds of a batch, as answers tell it, by size (median):"
    yield ""
    yield table(["", *shown], [["ms", *(number(1e3 * sizes[size]) for size in shown)]])
    yield ""
    yield "Closed loops, answers a second by number of callers:"
    yield ""
    closed = document["closed"]
    yield table(["", *closed], [["/s", *(number(value) for value in closed.values())]])
    yield ""


def _live(live: Mapping[str, Any]) -> Iterator[str]:
    mix = ", ".join(
        f"{percent(share)} {name} within {1e3 * live['slo'][name]:g} ms" for name, share in live["mix"].items()
    )
    yield "## Two live replicas against the plan"
    yield ""
    yield (
        f"Poisson arrivals at {live['rate']:.0f}/s ({mix}); a closed loop got {live['closed_per_second']:.0f}/s out of "
        f"the two. The simulator plans one replica at half of the rate. A prediction agrees within {TOLERANCE:.0%}. "
        f"Other work took at most {percent(live['foreign_share'])} of the machine."
    )
    yield ""
    yield "### With the costs of this machine, taken from a run before it with other arrivals"
    yield ""
    yield _comparison(live["by_calibration"])
    yield ""
    yield "### With the budgets of this run: costs of one replica, which know nothing of the second on the same cores"
    yield ""
    yield _comparison(live["by_budgets"])
    yield ""
    yield "Answers within their time over requests sent: " + ", ".join(
        f"{name} {percent(value['median'])}" for name, value in live["goodput"].items()
    )
    yield ""


def _comparison(rows: Sequence[Mapping[str, Any]]) -> str:
    return table(
        ["", "predicted", "live (least to greatest)", "off by", ""],
        [
            [
                row["name"],
                number(row["predicted"]),
                words({"median": row["live"], "min": row["least"], "max": row["greatest"]}),
                "-" if row["error"] is None else f"{row['error']:+.0%}",
                "agrees" if row["agrees"] else "**does not agree**",
            ]
            for row in rows
        ],
    )


def _scaled(values: Mapping[str, float | None], factor: float) -> dict[str, float | None]:
    return {key: None if value is None else factor * value for key, value in values.items()}
