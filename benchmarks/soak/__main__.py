"""`python -m benchmarks.soak`: 200,000 requests, unary and streamed, and the replica's memory meanwhile (6 minutes)."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks import machine, results
from benchmarks.load import runner
from benchmarks.load.plan import Plan, Traffic
from benchmarks.load.processes import replica_pid, resident_bytes
from benchmarks.markdown import table
from benchmarks.peers import catalogue
from benchmarks.peers.export import Material, prepare
from benchmarks.peers.target import Server, running
from benchmarks.soak.growth import settled, slope

_HERE = Path(__file__).parent
_ROOT = _HERE.parent.parent
_CHUNK = 15.0
# The result cache and the allocator's arenas fill up in the first part; what grows after it is a leak.
_FILLING = 0.4
_TRAFFIC = (
    Traffic(name="unary", priority="standard", deadline=10.0, rpc_timeout=10.0, callers=16, connections=2),
    Traffic(name="streamed", priority="background", deadline=10.0, rpc_timeout=10.0, callers=16, streams=4),
    # Some give up: what they leave behind must not stay.
    Traffic(
        name="cancelled",
        priority="real_time",
        deadline=10.0,
        rpc_timeout=10.0,
        rate=20.0,
        cancel_share=0.5,
        cancel_after=0.005,
    ),
)


def main() -> int:
    """Measures and writes."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.soak", description=__doc__)
    parser.add_argument("--requests", type=int, default=200_000, help="answers to wait for")
    parser.add_argument("--quick", action="store_true", help="20,000 requests, into build/soak")
    parser.add_argument("--registry", type=Path, default=Path("registry"), help="folder of the model registry")
    parser.add_argument("--model", default="cnn_lstm", help="name of the model")
    arguments = parser.parse_args()
    wanted = 20_000 if arguments.quick else arguments.requests
    folder = _ROOT / "build" / "soak" if arguments.quick else _HERE
    description = machine.describe(_ROOT)
    document = {"machine": description, "command": " ".join(["python -m benchmarks.soak", *sys.argv[1:]])}
    document |= measure(wanted, registry=arguments.registry, model=arguments.model)
    results.save(folder, document, write(document))
    return 0


def measure(wanted: int, *, registry: Path, model: str) -> dict[str, Any]:
    """Runs traffic in chunks until `wanted` requests are answered; reads the replica's memory after each."""
    threads = max(1, (os.cpu_count() or 1) - 1)
    with tempfile.TemporaryDirectory(prefix="soak-") as folder:
        material = prepare(Path(folder), registry=registry, name=model)
        with running(catalogue.target(catalogue.AS_SHIPPED, material, threads=threads)) as server:
            pid = replica_pid(server.pid)
            readings = [(0, resident_bytes(pid))]
            answered, chunk = 0, 0
            started = time.monotonic()
            while answered < wanted:
                run = runner.run([_plan(server, material, chunk)], watch={})
                answered += sum(int(run.traffic(traffic.name)["answered"]) for traffic in _TRAFFIC)
                chunk += 1
                readings.append((answered, resident_bytes(pid)))
                sys.stderr.write(f"{answered} answered, {readings[-1][1] / 2**20:.1f} MiB\n")
            elapsed = time.monotonic() - started
    rest = settled(readings, share=_FILLING)
    return {
        "answered": answered,
        "seconds": elapsed,
        "readings": readings,
        "settled_after": rest[0][0],
        "bytes_per_request": slope(rest),
        "span_bytes": max(y for _, y in rest) - min(y for _, y in rest),
    }


def write(document: dict[str, Any]) -> str:
    """Returns the report."""
    rows = [[f"{count:,}", f"{resident / 2**20:.1f}"] for count, resident in document["readings"]]
    machine_rows = [[name, value] for name, value in document["machine"].items()]
    return f"""# Soak: {document["answered"]:,} requests

Written by `{document["command"]}`; unary calls, streamed windows and calls that their callers cancel, every window
distinct, the result cache on. Resident memory of the replica's process.

After the first {document["settled_after"]:,} requests, in which cache and allocator fill up, memory moved within
{document["span_bytes"] / 2**20:.1f} MiB, and its trend is {document["bytes_per_request"]:+.1f} bytes a request.

{table(["answered", "resident, MiB"], rows)}

{document["seconds"]:.0f} s, {document["answered"] / document["seconds"]:.0f} requests a second.

{table(["", ""], machine_rows)}
"""


def _plan(server: Server, material: Material, chunk: int) -> Plan:
    return Plan(
        target=server.target.address,
        traffic=_TRAFFIC,
        warm_up=0.5,
        duration=_CHUNK,
        windows=str(material.windows),
        first_window=chunk * 100_000,
        feature_schema=material.feature_schema,
        model=material.model,
        seed=chunk,
    )


if __name__ == "__main__":
    sys.exit(main())
