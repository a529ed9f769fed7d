"""Writes the reference page of the contract, docs/contract.md, from the protos and their comments.

`write` renews the page, `check` fails where it has drifted from the protos. Method, field and value comments are the
protos' own words: nothing is said here that is not said there.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from google.protobuf import descriptor_pb2

from scripts.protos import ROOT, write_descriptor_set

PAGE = ROOT / "docs/contract.md"
PACKAGE = "tickserve.v1"
HEADER = """\
# Contract

Written by `python -m scripts.contract_reference write` from `protos/tickserve/v1`; do not edit. What errors mean is
in [errors](errors.md).
"""

# Numbers of fields in descriptor.proto: what a SourceCodeInfo path is made of.
_MESSAGE, _ENUM, _SERVICE = 4, 5, 6
_FIELD, _METHOD, _VALUE = 2, 2, 2
_NESTED_MESSAGE = 3

_Comments = dict[tuple[int, ...], str]
_Field = descriptor_pb2.FieldDescriptorProto


def comments_of(file: descriptor_pb2.FileDescriptorProto) -> _Comments:
    """Returns the leading comment of everything in the file, by its path."""
    found: _Comments = {}
    for location in file.source_code_info.location:
        text = location.leading_comments or location.trailing_comments
        found[tuple(location.path)] = " ".join(line.strip() for line in text.strip().splitlines())
    return found


def type_of(field: descriptor_pb2.FieldDescriptorProto) -> str:
    """Returns a field's type as a reader of protos knows it, linked where this page has it."""
    if field.type_name:
        name = field.type_name.removeprefix(".")
        short = name.removeprefix(f"{PACKAGE}.")
        if short.endswith("Entry"):  # a map, which protoc spells as repeated pairs
            return "map"
        text = f"[{short}](#{short.lower().replace('.', '')})" if name.startswith(f"{PACKAGE}.") else f"`{name}`"
    else:
        text = f"`{_Field.Type.Name(field.type).removeprefix('TYPE_').lower()}`"
    return f"repeated {text}" if field.label == _Field.LABEL_REPEATED else text


def cell(text: str) -> str:
    """Returns a comment as the text of a table's cell."""
    return text.replace("|", "\\|")


def service(declared: descriptor_pb2.ServiceDescriptorProto, path: tuple[int, ...], notes: _Comments) -> Iterator[str]:
    """Yields the section of a service."""
    yield f"## {declared.name}\n\n{notes.get(path, '')}\n\n| method | request | response | |\n|---|---|---|---|"
    for index, method in enumerate(declared.method):
        sides = []
        for name, streams in (
            (method.input_type, method.client_streaming),
            (method.output_type, method.server_streaming),
        ):
            short = name.removeprefix(f".{PACKAGE}.")
            sides.append(f"{'stream ' if streams else ''}[{short}](#{short.lower()})")
        yield f"| `{method.name}` | {sides[0]} | {sides[1]} | {cell(notes.get((*path, _METHOD, index), ''))} |"
    yield ""


def message(
    declared: descriptor_pb2.DescriptorProto, path: tuple[int, ...], notes: _Comments, outer: str = ""
) -> Iterator[str]:
    """Yields the section of a message and of those inside it."""
    name = f"{outer}{declared.name}"
    yield f"### {name}\n\n{notes.get(path, '')}\n"
    if declared.field:
        yield "| field | number | type | |\n|---|---|---|---|"
    for index, field in enumerate(declared.field):
        one_of = field.HasField("oneof_index") and not field.proto3_optional
        choice = f"one of `{declared.oneof_decl[field.oneof_index].name}`: " if one_of else ""
        choice = "optional: " if field.proto3_optional else choice
        text = cell(notes.get((*path, _FIELD, index), ""))
        yield f"| `{field.name}` | {field.number} | {type_of(field)} | {choice}{text} |"
    yield ""
    for index, nested in enumerate(declared.nested_type):
        if not nested.options.map_entry:
            yield from message(nested, (*path, _NESTED_MESSAGE, index), notes, f"{name}.")


def enumeration(declared: descriptor_pb2.EnumDescriptorProto, path: tuple[int, ...], notes: _Comments) -> Iterator[str]:
    """Yields the section of an enum."""
    yield f"### {declared.name}\n\n{notes.get(path, '')}\n\n| value | number | |\n|---|---|---|"
    for index, value in enumerate(declared.value):
        yield f"| `{value.name}` | {value.number} | {cell(notes.get((*path, _VALUE, index), ''))} |"
    yield ""


def render(files: descriptor_pb2.FileDescriptorSet) -> str:
    """Returns the page: services first, in the order of their files, then messages and enums."""
    ours = [(file, comments_of(file)) for file in files.file if file.package == PACKAGE]
    parts = [HEADER]
    for file, notes in ours:
        for index, declared in enumerate(file.service):
            parts += service(declared, (_SERVICE, index), notes)
    parts.append("## Messages and enums\n")
    for file, notes in ours:
        for index, record in enumerate(file.message_type):
            parts += message(record, (_MESSAGE, index), notes)
        for index, values in enumerate(file.enum_type):
            parts += enumeration(values, (_ENUM, index), notes)
    return "\n".join(parts).rstrip() + "\n"


def fresh_page() -> str:
    """Returns the page as the protos of this tree make it."""
    with tempfile.TemporaryDirectory() as scratch:
        target = Path(scratch) / "contract.binpb"
        write_descriptor_set(target)
        return render(descriptor_pb2.FileDescriptorSet.FromString(target.read_bytes()))


def main() -> None:
    """Writes the page, or compares it."""
    page = fresh_page()
    if sys.argv[1:] == ["write"]:
        PAGE.write_text(page, encoding="utf-8")
    elif sys.argv[1:] != ["check"]:
        raise SystemExit("usage: python -m scripts.contract_reference write|check")
    elif not PAGE.exists() or PAGE.read_text(encoding="utf-8") != page:
        raise SystemExit("docs/contract.md is older than the protos; run `python -m scripts.contract_reference write`")


if __name__ == "__main__":
    main()
