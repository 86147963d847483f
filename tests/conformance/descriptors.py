"""A protobuf file as plain data: what two definitions of the same wire can be compared by."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor, FileDescriptor


def described(files: list[FileDescriptor]) -> dict[str, Any]:
    """Messages, enums and methods of the files by full name."""
    found: dict[str, Any] = {"messages": {}, "enums": {}, "methods": {}}
    for file in files:
        for enum in file.enum_types_by_name.values():
            _enum(enum, found)
        for message in file.message_types_by_name.values():
            _message(message, found)
        for service in file.services_by_name.values():
            for method in service.methods:
                found["methods"][f"/{service.full_name}/{method.name}"] = [
                    method.input_type.full_name,
                    method.output_type.full_name,
                    method.client_streaming,
                    method.server_streaming,
                ]
    return found


def _message(message: Descriptor, found: dict[str, Any]) -> None:
    found["messages"][message.full_name] = {field.name: _field(field) for field in message.fields}
    for enum in message.enum_types:
        _enum(enum, found)
    for nested in message.nested_types:
        _message(nested, found)


def _field(field: FieldDescriptor) -> dict[str, Any]:
    kind = field.message_type or field.enum_type
    oneof = field.containing_oneof
    return {
        "number": field.number,
        "type": field.type,
        "of": kind.full_name if kind else None,
        "repeated": field.is_repeated,
        "oneof": oneof.name if oneof else None,
    }


def _enum(enum: EnumDescriptor, found: dict[str, Any]) -> None:
    found["enums"][enum.full_name] = {value.name: value.number for value in enum.values}
