"""The contract's own rules, checked on its descriptor set: they hold without Buf, and some that Buf has no rule for."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from google.protobuf import descriptor_pb2
from grpc_health.v1 import health_pb2

from scripts.protos import PACKAGE, PROTOS, contract_files, write_descriptor_set

FILE = descriptor_pb2.FileDescriptorProto
FIELD = descriptor_pb2.FieldDescriptorProto
UNSIGNED = {FIELD.TYPE_UINT32, FIELD.TYPE_UINT64, FIELD.TYPE_FIXED32, FIELD.TYPE_FIXED64}


class Element(NamedTuple):
    """One thing that the contract defines, with the comment before it."""

    kind: str
    name: str
    comment: str
    descriptor: object


def read_contract(target: Path, protos: Path = PROTOS) -> list[FILE]:
    """Compiles the contract to `target` and returns its own files, without the imported ones."""
    write_descriptor_set(target, protos)
    everything = descriptor_pb2.FileDescriptorSet.FromString(target.read_bytes())
    return [file for file in everything.file if file.name.startswith(PACKAGE.as_posix())]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[FILE]:
    """The contract's files, with comments."""
    return read_contract(tmp_path_factory.mktemp("contract") / "contract.binpb")


def elements(file: FILE) -> Iterator[Element]:
    """Yields every service, method, message, field, oneof, enum and enum value of `file`, but for map entries."""
    comments = {tuple(place.path): place.leading_comments.strip() for place in file.source_code_info.location}

    def element(kind: str, name: str, path: tuple[int, ...], descriptor: object) -> Element:
        return Element(kind, name, comments.get(path, ""), descriptor)

    def in_enum(enum: descriptor_pb2.EnumDescriptorProto, path: tuple[int, ...]) -> Iterator[Element]:
        yield element("enum", enum.name, path, enum)
        for index, value in enumerate(enum.value):
            yield element("enum value", value.name, (*path, 2, index), value)

    def in_message(message: descriptor_pb2.DescriptorProto, path: tuple[int, ...]) -> Iterator[Element]:
        yield element("message", message.name, path, message)
        for index, field in enumerate(message.field):
            yield element("field", f"{message.name}.{field.name}", (*path, 2, index), field)
        synthetic = {field.oneof_index for field in message.field if field.proto3_optional}
        for index, oneof in enumerate(message.oneof_decl):
            if index not in synthetic:
                yield element("oneof", f"{message.name}.{oneof.name}", (*path, 8, index), oneof)
        for index, nested in enumerate(message.nested_type):
            if not nested.options.map_entry:
                yield from in_message(nested, (*path, 3, index))
        for index, enum in enumerate(message.enum_type):
            yield from in_enum(enum, (*path, 4, index))

    for index, service in enumerate(file.service):
        yield element("service", service.name, (6, index), service)
        for number, method in enumerate(service.method):
            yield element("method", f"{service.name}.{method.name}", (6, index, 2, number), method)
    for index, message in enumerate(file.message_type):
        yield from in_message(message, (4, index))
    for index, enum in enumerate(file.enum_type):
        yield from in_enum(enum, (5, index))


def uncommented(files: list[FILE]) -> list[str]:
    """Names what has no comment."""
    return [f"{item.kind} {item.name}" for file in files for item in elements(file) if not item.comment]


def unsigned_fields(files: list[FILE]) -> list[str]:
    """Names the fields of unsigned types, those inside map entries included."""

    def fields(message: descriptor_pb2.DescriptorProto) -> Iterator[tuple[str, FIELD]]:
        yield from ((f"{message.name}.{field.name}", field) for field in message.field)
        for nested in message.nested_type:
            yield from fields(nested)

    return [
        name
        for file in files
        for message in file.message_type
        for name, field in fields(message)
        if field.type in UNSIGNED
    ]


def test_every_element_is_commented(files: list[FILE]) -> None:
    """Whatever the contract defines says what it means."""
    assert uncommented(files) == []


def test_the_walk_reaches_every_kind(files: list[FILE]) -> None:
    """The walk over the contract sees each kind of element, so that the rules cannot pass by seeing nothing."""
    kinds = Counter(item.kind for file in files for item in elements(file))
    assert kinds.keys() == {"service", "method", "message", "field", "oneof", "enum", "enum value"}
    assert kinds["method"] == sum(len(service.method) for file in files for service in file.service)


def test_a_missing_comment_is_found(tmp_path: Path) -> None:
    """The comment rule fails on a contract with one comment less."""
    broken = tmp_path / "protos"
    for file in contract_files():
        copy = broken / file.relative_to(PROTOS)
        copy.parent.mkdir(parents=True, exist_ok=True)
        text = file.read_text(encoding="utf-8").replace("  // An order waits for this answer.\n", "")
        copy.write_text(text.replace("int32 feature_count", "uint32 feature_count"), encoding="utf-8")
    files = read_contract(tmp_path / "contract.binpb", broken)
    assert uncommented(files) == ["enum value PRIORITY_REAL_TIME"]
    assert unsigned_fields(files) == ["Model.feature_count", "Window.feature_count"]


def test_no_field_is_unsigned(files: list[FILE]) -> None:
    """Unsigned types, which several languages lack, appear nowhere."""
    assert unsigned_fields(files) == []


def test_files_lie_in_the_folder_of_their_package(files: list[FILE]) -> None:
    """Each file's folder is its package, and its syntax proto3."""
    assert len(files) == len(contract_files())
    for file in files:
        assert Path(file.name).parent == PACKAGE
        assert file.package == PACKAGE.as_posix().replace("/", ".")
        assert file.syntax == "proto3"


def test_services_live_in_files_of_their_own_name(files: list[FILE]) -> None:
    """A service `XService` is alone in `x_service.proto`, since only such files get gRPC stubs."""
    for file in files:
        is_service_file = file.name.endswith("_service.proto")
        assert len(file.service) == (1 if is_service_file else 0), file.name
        for service in file.service:
            expected = "".join(part.title() for part in Path(file.name).stem.split("_"))
            assert service.name == expected


def test_requests_and_responses_belong_to_one_method(files: list[FILE]) -> None:
    """Each method has its own `XRequest` and `XResponse`, so that one can grow without the other."""
    methods = [method for file in files for service in file.service for method in service.method]
    for method in methods:
        assert method.input_type == f".tickserve.v1.{method.name}Request"
        assert method.output_type == f".tickserve.v1.{method.name}Response"
    used = Counter(name for method in methods for name in (method.input_type, method.output_type))
    assert max(used.values()) == 1
    in_fields = {field.type_name for file in files for message in file.message_type for field in message.field}
    assert not in_fields & used.keys()


def test_method_names_are_unique_across_services(files: list[FILE]) -> None:
    """No two methods share a name, health's included: Ray Serve dispatches on the last path segment alone."""
    ours = [method.name for file in files for service in file.service for method in service.method]
    health = [method.name for method in health_pb2.DESCRIPTOR.services_by_name["Health"].methods]
    assert {"Check", "Watch"} <= set(health)
    assert [name for name, count in Counter(ours + health).items() if count > 1] == []


def test_enums_start_with_unspecified_and_carry_their_prefix(files: list[FILE]) -> None:
    """An enum is top-level, its zero value is `<ENUM>_UNSPECIFIED`, and every value has the enum's prefix."""
    enums = [enum for file in files for enum in file.enum_type]
    assert enums
    assert not [message.name for file in files for message in file.message_type if message.enum_type]
    for enum in enums:
        prefix = "".join(f"_{letter}" if letter.isupper() else letter for letter in enum.name).strip("_").upper()
        assert (enum.value[0].name, enum.value[0].number) == (f"{prefix}_UNSPECIFIED", 0)
        assert all(value.name.startswith(f"{prefix}_") for value in enum.value)
