"""Holds the contract to what was promised: protos/tickserve-v1.binpb, the contract as it was last declared stable.

`check` tells what breaks the promise and what it lacks; `renew` writes it anew from protos/, and refuses where that
would break it. Run it as `python -m scripts.baseline`. Buf's rules (`scripts/buf.sh`) are stricter, and need npm; these
hold everywhere.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator
from pathlib import Path

from google.protobuf.descriptor_pb2 import DescriptorProto, EnumDescriptorProto, FieldDescriptorProto, FileDescriptorSet

from scripts.protos import PACKAGE, PROTOS, write_descriptor_set

BASELINE = PROTOS / "tickserve-v1.binpb"


def elements(contract: FileDescriptorSet) -> dict[str, str]:
    """Returns what callers rely on: the path of each element of ours, and what it must go on being.

    Fields and enum values go by their number, which is what travels; their names are promised as well, for code and
    JSON. Comments are not promised.
    """
    found: dict[str, str] = {}
    for file in contract.file:
        if not file.name.startswith(f"{PACKAGE.as_posix()}/"):
            continue
        found[file.name] = f"package {file.package}"
        for message in file.message_type:
            found.update(_of_message(message, file.name))
        for enum in file.enum_type:
            found.update(_of_enum(enum, file.name))
        for service in file.service:
            found[f"{file.name}: {service.name}"] = "service"
            for method in service.method:
                taken = f"{'stream ' if method.client_streaming else ''}{method.input_type}"
                given = f"{'stream ' if method.server_streaming else ''}{method.output_type}"
                found[f"{file.name}: {service.name}.{method.name}"] = f"rpc ({taken}) returns ({given})"
    return found


def breaks(promised: FileDescriptorSet, actual: FileDescriptorSet) -> list[str]:
    """Returns a line for each element that is gone, or no longer what it was."""
    now = elements(actual)
    lines = []
    for path, description in elements(promised).items():
        if path not in now:
            lines.append(f"gone: {path} ({description})")
        elif now[path] != description:
            lines.append(f"changed: {path}: {description} is now {now[path]}")
    return lines


def additions(promised: FileDescriptorSet, actual: FileDescriptorSet) -> list[str]:
    """Returns a line for each element that is not promised yet."""
    return [f"not promised yet: {path}" for path in sorted(elements(actual).keys() - elements(promised).keys())]


def read_baseline(path: Path = BASELINE) -> FileDescriptorSet:
    """Returns what was promised."""
    return FileDescriptorSet.FromString(path.read_bytes())


def read_contract(protos: Path = PROTOS) -> FileDescriptorSet:
    """Compiles the contract as it is now, without comments."""
    with tempfile.TemporaryDirectory() as scratch:
        target = Path(scratch) / "contract.binpb"
        write_descriptor_set(target, protos)
        contract = FileDescriptorSet.FromString(target.read_bytes())
    for file in contract.file:
        file.ClearField("source_code_info")
    return contract


def _of_message(message: DescriptorProto, parent: str) -> Iterator[tuple[str, str]]:
    path = f"{parent}: {message.name}"
    yield path, "message"
    for field in message.field:
        yield f"{path}.{field.number}", _of_field(field, message)
    for nested in message.nested_type:
        yield from _of_message(nested, path)
    for enum in message.enum_type:
        yield from _of_enum(enum, path)


def _of_field(field: FieldDescriptorProto, message: DescriptorProto) -> str:
    label = FieldDescriptorProto.Label.Name(field.label).removeprefix("LABEL_").lower()
    kind = field.type_name or FieldDescriptorProto.Type.Name(field.type).removeprefix("TYPE_").lower()
    if field.proto3_optional:
        presence = " with presence"
    elif field.HasField("oneof_index"):
        presence = f" in oneof {message.oneof_decl[field.oneof_index].name}"
    else:
        presence = ""
    return f"{label} {kind} {field.name}{presence}"


def _of_enum(enum: EnumDescriptorProto, parent: str) -> Iterator[tuple[str, str]]:
    path = f"{parent}: {enum.name}"
    yield path, "enum"
    for value in enum.value:
        yield f"{path}.{value.number}", value.name


def main() -> None:
    """Runs the command that the arguments name."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("check", help="fail if the contract breaks the promise, or has what it lacks")
    renewing = commands.add_parser("renew", help="promise the contract as it is now")
    renewing.add_argument("--breaking", action="store_true", help="also where it breaks what was promised before")
    arguments = parser.parse_args()
    actual = read_contract()
    broken = breaks(read_baseline(), actual) if BASELINE.exists() else []
    if arguments.command == "check":
        if broken:
            raise SystemExit("\n".join(["The contract tickserve.v1 is stable; this breaks its callers:", *broken]))
        if added := additions(read_baseline(), actual):
            raise SystemExit("\n".join(["The contract has grown; run `make contract` to promise it:", *added]))
        return
    if broken and not arguments.breaking:
        raise SystemExit("\n".join(["Not renewed: this breaks callers (add instead, or make a v2).", *broken]))
    BASELINE.write_bytes(actual.SerializeToString(deterministic=True))


if __name__ == "__main__":
    main()
