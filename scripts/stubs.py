"""Makes the stubs for other languages, below build/stubs and clients/node/build, as buf.gen.yaml says.

They are not committed: generated code must match the run-time library that it is compiled with, which differs between
systems, and what is made anew from the contract cannot drift from it. Must not know what the programs do with them.
"""

import filecmp
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet
from grpc_health.v1 import health_pb2

from scripts import protos

ROOT = protos.ROOT
IMAGE = ROOT / "build/stubs.binpb"
TOOLS = ROOT / "build/tools"
STUBS = (Path("build/stubs"), Path("clients/node/build/stubs"))
BUF = ROOT / "node_modules/.bin/buf"
# The contract does not import them; every client that reads refusals needs them.
DETAILS = "google/rpc/error_details.proto"
# The name by which every other language knows the protocol.
HEALTH = "grpc/health/v1/health.proto"
# What `go build` of a module asks of the folder that the example's go.mod names.
GO_MODULE_FILE = "build/stubs/go/example.com/tickserve/stubs/go.mod"
GO_MODULE = "module example.com/tickserve/stubs\n\ngo 1.21\n"


def write_image(target: Path) -> None:
    """Writes the contract, error details and the health protocol as one descriptor set; the last has no comments.

    Sources are the Python packages that the service itself runs with, so a client speaks what the service speaks.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    protos.protoc(
        "--include_imports",
        "--include_source_info",
        f"--descriptor_set_out={target}",
        files=[*protos.contract_files(), protos.googleapis() / DETAILS],
    )
    image = FileDescriptorSet.FromString(target.read_bytes())
    health = FileDescriptorProto.FromString(health_pb2.DESCRIPTOR.serialized_pb)
    health.name = HEALTH  # the Python package has put it into a folder of its own
    image.file.append(health)
    target.write_bytes(image.SerializeToString())


def generate() -> None:
    """Writes all stubs; what has not changed keeps its time, so that compilers need not start over.

    Raises:
        SystemExit: Buf, or a plugin, failed; with its words.
    """
    write_image(IMAGE)
    # Ours first: Debian's protoc-gen-go may be one that knows no `optional`.
    environment = os.environ | {"PATH": f"{TOOLS}{os.pathsep}{os.environ['PATH']}"}
    with tempfile.TemporaryDirectory(dir=IMAGE.parent) as scratch:
        command = [str(BUF), "generate", "--output", scratch]
        done = subprocess.run(command, check=False, cwd=ROOT, env=environment, capture_output=True, text=True)
        if done.returncode:
            raise SystemExit(f"buf generate failed:\n{done.stdout}{done.stderr}")
        fresh = Path(scratch)
        (fresh / GO_MODULE_FILE).write_text(GO_MODULE, encoding="utf-8")
        for folder in STUBS:
            replace_tree(fresh / folder, ROOT / folder)


def replace_tree(source: Path, target: Path) -> None:
    """Makes the files below `target` those below `source`; equal ones are left alone."""
    wanted = {file.relative_to(source) for file in source.rglob("*") if file.is_file()}
    for stale in {file.relative_to(target) for file in target.rglob("*") if file.is_file()} - wanted:
        (target / stale).unlink()
    for name in wanted:
        if not (target / name).is_file() or not filecmp.cmp(source / name, target / name, shallow=False):
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source / name, target / name)


if __name__ == "__main__":
    generate()
