"""ledger/schema/entry.proto says what protos/ says, field by field, where the two speak of the same."""

import re
from importlib import resources
from pathlib import Path

import pytest
from google.protobuf import descriptor_pb2
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from grpc_tools import protoc

from ledger import digest
from protos.gen import accesslog_pb2, als_pb2

SCHEMA = Path(str(resources.files("ledger"))) / "schema"
F = descriptor_pb2.FieldDescriptorProto
# How values travel: a schema may give a field another type of the same wire type.
WIRE = {
    **dict.fromkeys([F.TYPE_INT32, F.TYPE_INT64, F.TYPE_UINT32, F.TYPE_UINT64, F.TYPE_BOOL, F.TYPE_ENUM], 0),
    **dict.fromkeys([F.TYPE_DOUBLE, F.TYPE_FIXED64, F.TYPE_SFIXED64], 1),
    **dict.fromkeys([F.TYPE_STRING, F.TYPE_BYTES, F.TYPE_MESSAGE], 2),
    **dict.fromkeys([F.TYPE_FLOAT, F.TYPE_FIXED32, F.TYPE_SFIXED32], 5),
}


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> descriptor_pb2.FileDescriptorProto:
    out = tmp_path_factory.mktemp("entry") / "set"
    assert protoc.main(["protoc", f"-I{SCHEMA}", f"--descriptor_set_out={out}", "entry.proto"]) == 0
    found = descriptor_pb2.FileDescriptorSet.FromString(out.read_bytes())
    return found.file[0]


def named(file: descriptor_pb2.FileDescriptorProto, type_name: str) -> descriptor_pb2.DescriptorProto:
    first, *rest = type_name.strip(".").split(".")
    message = next(each for each in file.message_type if each.name == first)
    for name in rest:
        message = next(each for each in message.nested_type if each.name == name)
    return message


def compare(
    file: descriptor_pb2.FileDescriptorProto,
    mine: descriptor_pb2.DescriptorProto,
    theirs: Descriptor,
    seen: set[tuple[str, str]],
) -> int:
    """Assert that every field of mine is theirs; gives how many fields were compared."""
    if (mine.name, theirs.full_name) in seen:
        return 0
    seen.add((mine.name, theirs.full_name))
    compared = 0
    for field in mine.field:
        other: FieldDescriptor = theirs.fields_by_name[field.name]
        where = f"{theirs.full_name}.{field.name}"
        assert other.number == field.number, where
        assert WIRE[other.type] == WIRE[field.type], where
        assert other.is_repeated == (field.label == F.LABEL_REPEATED), where
        compared += 1
        if field.type == F.TYPE_MESSAGE:
            assert other.message_type is not None, where
            compared += compare(file, named(file, field.type_name), other.message_type, seen)
    return compared


@pytest.mark.parametrize(
    ("mine", "theirs"),
    [
        pytest.param("HTTPAccessLogEntry", accesslog_pb2.HTTPAccessLogEntry.DESCRIPTOR, id="HTTP"),
        pytest.param("TCPAccessLogEntry", accesslog_pb2.TCPAccessLogEntry.DESCRIPTOR, id="TCP"),
    ],
)
def test_every_field_has_envoys_number_and_wire_type(
    ours: descriptor_pb2.FileDescriptorProto, mine: str, theirs: Descriptor
) -> None:
    compared = compare(ours, named(ours, f"Envelope.{mine}"), theirs, set())

    assert compared > 35


@pytest.mark.parametrize("name", ["HTTPAccessLogEntries", "TCPAccessLogEntries"])
def test_the_envelope_is_what_envoy_wraps_entries_in(
    ours: descriptor_pb2.FileDescriptorProto, name: str
) -> None:
    (field,) = named(ours, "Envelope").field
    other = als_pb2.StreamAccessLogsMessage.DESCRIPTOR.nested_types_by_name[name].fields_by_name["log_entry"]

    assert (other.number, other.is_repeated) == (field.number, field.label == F.LABEL_REPEATED)


def test_the_schema_stands_alone(ours: descriptor_pb2.FileDescriptorProto) -> None:
    assert ([], "") == (list(ours.dependency), ours.package)
    assert not list(ours.enum_type)


def test_the_first_digest_covers_every_stored_column() -> None:
    text = (SCHEMA / "0002_access_log.sql").read_text(encoding="utf-8")
    columns = re.findall(r"^    ([a-z_]+) +(.*) COMMENT ", text, re.MULTILINE)
    stored = tuple(name for name, kind in columns if " ALIAS " not in kind)

    assert {"stream_id", "is_end"} == {name for name, _ in columns} - set(stored)
    assert digest.COLUMNS[1] == stored
