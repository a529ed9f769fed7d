"""What a tick costs the Redis that keeps the windows: commands, bytes, its own processor time."""

from __future__ import annotations

import re
import socket
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from benchmarks.capacity.length import Length
from benchmarks.capacity.small import IN_FLIGHT
from benchmarks.capacity.stage import PATIENCE, serving, tell
from benchmarks.peers import catalogue
from benchmarks.peers.export import Material
from benchmarks.streams import redis_store
from benchmarks.streams import runner as stream_runner
from benchmarks.streams.plan import StreamPlan

_BARS = catalogue.ROOT / "data" / "eurusd_1h.csv"
_TIMEOUT = 10.0
#: By name: ticks a second over all symbols; 0: a closed loop, one tick in flight a symbol. Many ticks between two
#: rounds of writing become one change a symbol, so that a busy service asks less of the Redis for each tick.
RATES = {"busy": 0.0, "calm": 64.0}
SCRIPTS = ("evalsha", "eval", "script", "fcall")


def measure(length: Length, material: Material, folder: Path) -> dict[str, Any] | None:
    """Returns the raw figures by name of the rate; None where no Redis is installed."""
    if not redis_store.is_installed():
        return None
    with (
        redis_store.redis_server(folder) as url,
        serving(material, replicas=1, TICKSERVE_WINDOWS__STORE="redis", TICKSERVE_WINDOWS__REDIS_URL=url) as server,
    ):
        found = {}
        for place, (name, rate) in enumerate(RATES.items()):
            made = StreamPlan(
                name=name,
                target=server.target.address,
                bars=str(_BARS),
                model=material.model,
                first_symbol=place * IN_FLIGHT,
                symbols=IN_FLIGHT,
                streams=4,
                connections=1,
                rate=rate,
                valid_duration=PATIENCE,
                warm_up=0.0,
                duration=length.duration,
                durable=True,
            )
            with stream_runner.ready(made) as generator:
                before = info(url)
                result = generator.run(server.pid)
                after = info(url)
            found[name] = {
                "ticks": result["ticks"],
                "per_second": result["traffic"]["answered_per_second"],
                "used": {key: after[key] - before.get(key, 0.0) for key in after},
            }
            tell(f"redis, {name}: {result['ticks']} ticks")
        return found


def info(url: str) -> dict[str, float]:
    """Returns what a Redis says of itself: processor seconds, bytes, and calls by command (`calls.<command>`)."""
    return parse(_ask(url, "INFO everything"))


def parse(text: str) -> dict[str, float]:
    """Returns the figures in the text of an INFO command that only ever grow."""
    found = {
        name: float(value)
        for name, value in re.findall(
            r"^(total_commands_processed|total_net_input_bytes|total_net_output_bytes|used_cpu_user|used_cpu_sys):(\S+)",
            text,
            flags=re.MULTILINE,
        )
    }
    for name, calls in re.findall(r"^cmdstat_([^:]+):calls=(\d+)", text, flags=re.MULTILINE):
        found[f"calls.{name}"] = float(calls)
    return found


def _ask(url: str, command: str) -> str:
    place = urlsplit(url)
    with socket.create_connection((place.hostname or "127.0.0.1", place.port or 6379), timeout=_TIMEOUT) as connection:
        connection.sendall(f"{command}\r\n".encode())
        reader = connection.makefile("rb")
        head = reader.readline()
        if not head.startswith(b"$"):
            raise OSError(f"Redis said {head!r}")
        return reader.read(int(head[1:])).decode()
