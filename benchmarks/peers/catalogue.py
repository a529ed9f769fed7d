"""The servers that benchmarks compare, each on ports of its own; all on one thread budget."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from benchmarks.peers.export import Material
from benchmarks.peers.target import Target, free_ports, free_range
from benchmarks.peers.triton import environment as triton_environment

ROOT = Path(__file__).resolve().parent.parent.parent
STOCK = "stock"
STOCK_HAPROXY = "haproxy_batch"
TRITON = "triton"
BARE = "bare"
ECHO = "echo"
INGRESS_ECHO = "ingress_echo"
SAME_ENGINE = "tickserve_torchscript"
AS_SHIPPED = "tickserve"
NAMES = (AS_SHIPPED, SAME_ENGINE, STOCK, STOCK_HAPROXY, TRITON, BARE, ECHO, INGRESS_ECHO)

_REPLICA_PORTS = 20
_PORTS = (
    "TICKSERVE_GRPC_PORT",
    "TICKSERVE_HTTP_PORT",
    "TICKSERVE_METRICS__PORT",
    "RAY_SERVE_HAPROXY_METRICS_PORT",
    "RAY_SERVE_HAPROXY_STATS_PORT",
    "RAY_SERVE_FALLBACK_PROXY_HTTP_PORT",
    "RAY_SERVE_FALLBACK_PROXY_GRPC_PORT",
)


def target(name: str, material: Material, *, threads: int, source: Path = ROOT) -> Target:
    """Returns how to start a server.

    Args:
        name: One of this module's constants.
        material: What it serves.
        threads: Of one engine call.
        source: The checkout that tickserve is served from; another one to compare two states of the code.

    Raises:
        KeyError: There is no such server.
    """
    makers = {
        STOCK: lambda: _stock(STOCK, "stock Ray Serve", material, threads),
        STOCK_HAPROXY: lambda: _stock(
            STOCK_HAPROXY, "Ray Serve, HAProxy and `@serve.batch`", material, threads, "--haproxy"
        ),
        TRITON: lambda: _triton(material, threads),
        BARE: lambda: _bare(BARE, "grpc.aio, engine inline", material, threads),
        ECHO: lambda: _bare(ECHO, "grpc.aio echo", material, threads),
        INGRESS_ECHO: lambda: _stock(
            INGRESS_ECHO, "Ray Serve, HAProxy, echo", material, threads, "--haproxy", "--echo"
        ),
        SAME_ENGINE: lambda: _tickserve(
            SAME_ENGINE, "tickserve, TorchScript", "torchscript", material, threads, source
        ),
        AS_SHIPPED: lambda: _tickserve(AS_SHIPPED, "tickserve as shipped", "auto", material, threads, source),
    }
    return makers[name]()


def _inherited() -> dict[str, str]:
    """Returns the environment without what would configure a server behind the benchmark's back."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("TICKSERVE_", "RAY_"))}


def _ingress_ports() -> dict[str, str]:
    """Returns the ranges in which the replicas listen: those of Ray Serve's defaults are the same for every server."""
    environment = {}
    for protocol in ("HTTP", "GRPC"):
        first = free_range(_REPLICA_PORTS)
        environment[f"RAY_SERVE_DIRECT_INGRESS_MIN_{protocol}_PORT"] = str(first)
        environment[f"RAY_SERVE_DIRECT_INGRESS_MAX_{protocol}_PORT"] = str(first + _REPLICA_PORTS - 1)
    return environment


def _imports_from(source: Path) -> dict[str, str]:
    return {"PYTHONPATH": os.pathsep.join((str(source), str(source / "clients" / "python")))}


def _tickserve(name: str, title: str, engine: str, material: Material, threads: int, source: Path) -> Target:
    ports = dict(zip(_PORTS, map(str, free_ports(len(_PORTS))), strict=True)) | _ingress_ports()
    settings = {
        "TICKSERVE_REGISTRY": str(material.registry),
        "TICKSERVE_DEFAULT_MODEL": material.model.name,
        "TICKSERVE_ENGINE": engine,
        "TICKSERVE_ENGINE_THREADS": str(threads),
        "TICKSERVE_MODELS__PINNED": json.dumps([f"{material.model.name}:{each}" for each in material.versions]),
    }
    return Target(
        name=name,
        title=title,
        command=(str(Path(sys.executable).with_name("tickserve")), "serve"),
        environment=_inherited() | ports | settings | _imports_from(source),
        folder=material.script.parent,
        address=f"127.0.0.1:{ports['TICKSERVE_GRPC_PORT']}",
    )


def _stock(name: str, title: str, material: Material, threads: int, *options: str) -> Target:
    ports = dict(zip(_PORTS, map(str, free_ports(len(_PORTS))), strict=True)) | _ingress_ports()
    grpc_port, http_port = ports.pop("TICKSERVE_GRPC_PORT"), ports.pop("TICKSERVE_HTTP_PORT")
    return Target(
        name=name,
        title=title,
        command=(
            *(sys.executable, "-m", "benchmarks.peers.stock", "--threads", str(threads)),
            *_served(material),
            *("--grpc-port", grpc_port, "--http-port", http_port),
            *options,
        ),
        environment=_inherited() | ports | _imports_from(ROOT),
        folder=material.script.parent,
        address=f"127.0.0.1:{grpc_port}",
    )


def _bare(name: str, title: str, material: Material, threads: int) -> Target:
    [port] = free_ports(1)
    return Target(
        name=name,
        title=title,
        command=(
            *(sys.executable, "-m", "benchmarks.peers.bare", "--threads", str(threads), "--port", str(port)),
            *_served(material),
            *(("--echo",) if name == ECHO else ()),
        ),
        environment=_inherited() | _imports_from(ROOT),
        folder=material.script.parent,
        address=f"127.0.0.1:{port}",
    )


def _triton(material: Material, threads: int) -> Target:
    grpc_port, http_port, metrics_port = map(str, free_ports(3))
    return Target(
        name=TRITON,
        title="NVIDIA Triton (PyTriton)",
        command=(
            *(str(triton_environment.PYTHON), str(triton_environment.SERVER), "--threads", str(threads)),
            *("--script", str(material.script), "--model", material.model.name, *_shape(material)),
            *("--grpc-port", grpc_port, "--http-port", http_port, "--metrics-port", metrics_port),
        ),
        environment=_inherited() | triton_environment.variables(),
        folder=material.script.parent,
        address=f"127.0.0.1:{grpc_port}",
    )


def _served(material: Material) -> tuple[str, ...]:
    """Returns the options that name the model to a peer that speaks tickserve's messages."""
    model = material.model
    named = ("--model", f"{model.name}:{model.version}", "--sha256", model.sha256)
    return ("--script", str(material.script), *named, *_shape(material))


def _shape(material: Material) -> tuple[str, ...]:
    return ("--shape", *map(str, material.shape))
