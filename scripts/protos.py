"""Turns the contract in protos/ into Python stubs, or tells where the committed ones have drifted from it.

`generate` writes clients/python/tickserve/v1; `check` compares it with a fresh generation; `descriptor FILE` writes the
contract with its imports and comments as one descriptor set, for Buf and for the contract tests.
"""

import argparse
import filecmp
import importlib.util
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PROTOS = ROOT / "protos"
STUBS = ROOT / "clients/python"
PACKAGE = Path("tickserve/v1")
# What protoc writes; the stub package holds nothing else beside its own modules.
GENERATED = ("*_pb2.py", "*_pb2.pyi", "*_pb2_grpc.py", "*_pb2_grpc.pyi")


def googleapis() -> Path:
    """Returns the folder below which google/rpc/status.proto lies: googleapis-common-protos ships its sources."""
    found = importlib.util.find_spec("google.rpc")
    if found is None or not found.submodule_search_locations:
        raise SystemExit("googleapis-common-protos is not installed; run `make setup`")
    return Path(next(iter(found.submodule_search_locations))).parent.parent


def protoc(*arguments: str, files: list[Path], protos: Path = PROTOS) -> None:
    """Runs the protoc of grpcio-tools on `files`, with this environment's plugins; prints its errors and raises."""
    command = [sys.executable, "-m", "grpc_tools.protoc", f"-I{protos}", f"-I{googleapis()}"]
    command += [f"--plugin={name}={Path(sys.executable).parent / name}" for name in plugins(arguments)]
    command += [*arguments, *(str(file) for file in files)]
    done = subprocess.run(command, check=False, cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"protoc failed:\n{done.stderr}")


def plugins(arguments: tuple[str, ...]) -> list[str]:
    """Names the plugins of ours that the output flags among `arguments` call for."""
    wanted = {argument.partition("=")[0] for argument in arguments}
    return [f"protoc-gen-{name}" for name in ("mypy", "mypy_grpc") if f"--{name}_out" in wanted]


def contract_files(protos: Path = PROTOS) -> list[Path]:
    """Lists the files of the contract, sorted, so that the output does not depend on the file system."""
    return sorted((protos / PACKAGE).glob("*.proto"))


def write_descriptor_set(target: Path, protos: Path = PROTOS) -> None:
    """Writes the contract, its imports and its comments to `target` as one FileDescriptorSet."""
    target.parent.mkdir(parents=True, exist_ok=True)
    protoc(
        "--include_imports",
        "--include_source_info",
        f"--descriptor_set_out={target}",
        files=contract_files(protos),
        protos=protos,
    )


def generate(target: Path, protos: Path = PROTOS) -> None:
    """Writes the stubs below `target`; only files that hold services get a `_grpc` module."""
    files = contract_files(protos)
    services = [file for file in files if file.stem.endswith("_service")]
    target.mkdir(parents=True, exist_ok=True)
    protoc(f"--python_out={target}", f"--mypy_out={target}", files=files, protos=protos)
    protoc(f"--grpc_python_out={target}", f"--mypy_grpc_out={target}", files=services, protos=protos)


def generated_files(root: Path) -> set[Path]:
    """Lists the generated files below `root`, relative to it."""
    return {file.relative_to(root) for pattern in GENERATED for file in (root / PACKAGE).glob(pattern)}


def drift(stubs: Path = STUBS, protos: Path = PROTOS) -> list[str]:
    """Returns one line for each stub that is missing, left over or different from what the contract generates."""
    with tempfile.TemporaryDirectory() as scratch:
        fresh = Path(scratch)
        generate(fresh, protos)
        expected, actual = generated_files(fresh), generated_files(stubs)
        differing = {file for file in expected & actual if not filecmp.cmp(fresh / file, stubs / file, shallow=False)}
    return [
        *(f"missing: {file}" for file in sorted(expected - actual)),
        *(f"left over: {file}" for file in sorted(actual - expected)),
        *(f"differs: {file}" for file in sorted(differing)),
    ]


def main() -> None:
    """Runs the command that the arguments name."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("generate", help="write the stubs")
    commands.add_parser("check", help="fail if the committed stubs have drifted")
    commands.add_parser("descriptor", help="write the descriptor set").add_argument("file", type=Path)
    arguments = parser.parse_args()
    match arguments.command:
        case "generate":
            for stale in generated_files(STUBS):
                (STUBS / stale).unlink()
            generate(STUBS)
        case "check":
            if lines := drift():
                raise SystemExit("\n".join(["The stubs have drifted from protos/; run `make protos`.", *lines]))
        case "descriptor":
            write_descriptor_set(arguments.file)


if __name__ == "__main__":
    main()
