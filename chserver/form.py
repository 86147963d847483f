"""Query and parameters that came as multipart/form-data, which clients use for long parameters. Pure."""

from __future__ import annotations

from email.parser import BytesParser
from email.policy import HTTP

from chserver.errors import BAD_ARGUMENTS, NOT_IMPLEMENTED, ClickHouseError


def fields(content_type: str, body: bytes) -> dict[str, str]:
    """The fields by name. Raises ClickHouseError for a broken form and for files (external tables)."""
    message = BytesParser(policy=HTTP).parsebytes(
        b"Content-Type: " + content_type.encode("latin-1") + b"\r\n\r\n" + body
    )
    if not message.is_multipart() or message.defects:
        raise ClickHouseError(BAD_ARGUMENTS, "The multipart/form-data body cannot be read")
    found = {}
    for part in message.iter_parts():
        name = part.get_param("name", header="content-disposition")
        if part.get_filename() is not None:
            raise ClickHouseError(
                NOT_IMPLEMENTED, "External tables in a form are not supported: insert into a table"
            )
        payload = part.get_payload(decode=True)
        if not isinstance(name, str) or not isinstance(payload, bytes):
            raise ClickHouseError(BAD_ARGUMENTS, "The multipart/form-data body has a part without a name")
        try:
            found[name] = payload.decode()
        except UnicodeDecodeError as error:
            raise ClickHouseError(BAD_ARGUMENTS, f"The field {name} is not UTF-8: {error}") from error
    return found
