"""What the `h2` library makes of a client's bytes: which calls are whole, and where it says that they are wrong.

It stands where the server stands: it has the server's settings, and sends what the server sent, so that it also tells
when the server may not send that.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import DataReceived, Event, RequestReceived, StreamEnded, StreamReset
from h2.exceptions import H2Error, StreamClosedError
from h2.settings import SettingCodes
from http2_peer import Frame

from extauthz.http2 import frames
from extauthz.http2.limits import Limits

Header = tuple[bytes, bytes]
# Why the server goes on where h2 does not, by what h2 says.
LENIENT: tuple[tuple[str, str], ...] = (
    ("did not shrink", "some peers take our table of size zero in without saying so; it is their table"),
    ("does not have an :authority", "8.3.1: a request may come without; gRPC does not need it"),
    ("Setting 8 has invalid value", "RFC 8441, 3: what a client says of extended CONNECT has no meaning"),
)
# Why the server refuses what h2 takes, by the text of its fault.
STRICT: dict[str, str] = {
    "another frame than has to come here": "3.4: a client's first frame is SETTINGS; h2 takes any",
    "an acknowledgement that is none": "3.4, as before: an acknowledgement of what was not greeted yet",
    "RST_STREAM of a stream that nobody opened": "6.4: of an idle stream it is an error; h2 overlooks it",
    "too many frames that get nothing done": "our limit (extauthz/http2/limits.py); h2 has none",
    "a client promises nothing": "8.4: said at the frame's head; h2 waits for the block's end",
    "a stream that depends on itself": "RFC 7540, 5.3.1: as before",
    "another length than content-length says": "8.1.1: also where trailers end the call; h2 looks at data only",
    "a header block without an end": "our limit; h2's is four times as high",
}
_ALTSVC = 10
_METHOD = re.compile(rb"/t\.S/(Now|Later)|/grpc\.health\.v1\.Health/Watch")


@dataclass
class Asked:
    """A call as h2 reads it."""

    headers: list[Header]
    body: bytes = b""
    whole: bool = False
    gone: bool = False

    def status(self) -> tuple[int, int]:
        """What HTTP and gRPC answer it with: 200 and 0 where the method is to be asked."""
        fields: dict[bytes, bytes] = {}
        for name, value in self.headers:
            fields[name] = fields[name] + b"," + value if name in fields else value
        if fields[b":method"] != b"POST":
            return 405, -1
        if not re.fullmatch(rb"(?is)application/grpc([+;].*)?", fields.get(b"content-type", b"")):
            return 415, -1
        timeout = fields.get(b"grpc-timeout")
        if timeout is not None and not re.fullmatch(rb"[0-9]{1,8}[HMSmun]", timeout):
            return 200, 13
        if not _METHOD.fullmatch(fields[b":path"]):
            return 200, 12
        return 200, self._message_status(fields.get(b"grpc-encoding", b"identity") != b"identity")

    def _message_status(self, compressed: bool) -> int:
        if not self.body or (self.body[0] == 1 and compressed):
            return 12
        if len(self.body) < 5 or self.body[0]:
            return 13
        length, there = int.from_bytes(self.body[1:5]), len(self.body) - 5
        return 0 if length == there else 12 if there > length else 13


@dataclass
class Oracle:
    """A server-side connection of h2, fed with whole frames."""

    limits: Limits
    calls: dict[int, Asked] = field(default_factory=dict)
    # Why no more is to be had from it; empty while it goes on.
    refusal: str = ""
    # Streams that h2 itself reset.
    resets: set[int] = field(default_factory=set)

    def __post_init__(self) -> None:
        config = H2Configuration(client_side=False, header_encoding=None)
        self.connection = H2Connection(config)
        # In force once the client acknowledges them, as the server's are.
        self.connection.local_settings.update(
            {
                SettingCodes.HEADER_TABLE_SIZE: 0,
                SettingCodes.MAX_CONCURRENT_STREAMS: self.limits.streams,
                SettingCodes.INITIAL_WINDOW_SIZE: self.limits.stream_window,
                SettingCodes.MAX_HEADER_LIST_SIZE: self.limits.header_list_bytes,
            }
        )
        self.connection.initiate_connection()
        more = self.limits.connection_window - frames.DEFAULT_WINDOW
        self.connection.increment_flow_control_window(more)
        self.connection.data_to_send()

    def take(self, said: bytes) -> None:
        """Bytes of a client."""
        if self.refusal or self._is_not_for_it(said):
            return
        try:
            for part in _in_order(_without_reserved_bit(said)):
                for event in self.connection.receive_data(part):
                    self._note(event)
            self._note_resets()
        except H2Error as error:
            self.refusal = f"{type(error).__name__}: {error}"
        except (AssertionError, ValueError, KeyError, IndexError, AttributeError) as error:
            # Its own mistake; nothing to compare with from here on.
            self.refusal = f"h2 broke: {type(error).__name__}: {error}"

    def sends(self, frame: Frame, headers: list[Header]) -> str:
        """What the server sent, sent by h2: why it may not be sent, or nothing."""
        if self.refusal:
            return ""
        connection, number = self.connection, frame.stream
        try:
            if frame.kind == frames.HEADERS:
                connection.send_headers(number, headers, end_stream=bool(frame.flags & frames.END_STREAM))
            elif frame.kind == frames.DATA:
                connection.send_data(number, frame.payload, end_stream=bool(frame.flags & frames.END_STREAM))
            elif frame.kind == frames.RST_STREAM and number in self.calls:
                self.calls[number].gone = True
                connection.reset_stream(number, int.from_bytes(frame.payload))
        except StreamClosedError:
            # A reset of what is closed already may cross with its end.
            return (
                "" if frame.kind == frames.RST_STREAM else f"a frame of type {frame.kind} on a closed stream"
            )
        except H2Error as error:
            return f"{type(error).__name__}: {error}"
        finally:
            connection.data_to_send()
        return ""

    def _is_not_for_it(self, said: bytes) -> bool:
        """A client's GOAWAY, behind which h2 takes and sends nothing more though calls may go on (6.8); and ALTSVC,
        which it reads where we ignore a type that we do not know.
        """
        if len(said) < frames.HEAD_BYTES or self.connection.incoming_buffer._headers_buffer:
            return False
        farewell = said[3] == frames.GOAWAY and len(said) >= frames.HEAD_BYTES + 8
        return said[3] == _ALTSVC or (farewell and not int.from_bytes(said[5:9]) & frames.STREAM_MASK)

    def _note_resets(self) -> None:
        """Streams that h2 resets by itself, without an event."""
        out = self.connection.data_to_send()
        while out:
            stop = frames.HEAD_BYTES + int.from_bytes(out[:3])
            if out[3] == frames.RST_STREAM:
                number = int.from_bytes(out[5:9])
                self.resets.add(number)
                if number in self.calls:
                    self.calls[number].gone = True
            out = out[stop:]

    def _note(self, event: Event) -> None:
        if isinstance(event, RequestReceived):
            self.calls[event.stream_id] = Asked([(bytes(n), bytes(v)) for n, v in event.headers])
        elif isinstance(event, DataReceived):
            self.calls[event.stream_id].body += event.data
            if event.flow_controlled_length:
                self.connection.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        elif isinstance(event, StreamEnded):
            self.calls[event.stream_id].whole = True
        elif isinstance(event, StreamReset) and event.stream_id in self.calls:
            self.calls[event.stream_id].gone = True


def _without_reserved_bit(said: bytes) -> bytes:
    """A WINDOW_UPDATE's increment is 31 bits, and the one before them is to be ignored (6.9); hyperframe refuses it."""
    if len(said) != frames.HEAD_BYTES + 4 or said[3] != frames.WINDOW_UPDATE:
        return said
    return said[: frames.HEAD_BYTES] + (int.from_bytes(said[-4:]) & frames.STREAM_MASK).to_bytes(4)


def _in_order(said: bytes) -> list[bytes]:
    """SETTINGS one by one: they count in their order (6.5.3), of which hyperframe keeps the last of each."""
    head, payload = said[: frames.HEAD_BYTES], said[frames.HEAD_BYTES :]
    if len(payload) < 12 or len(payload) % 6 or head[3] != frames.SETTINGS or head[4] & frames.ACK:
        return [said]
    return [b"\0\0\x06" + head[3:] + payload[at : at + 6] for at in range(0, len(payload), 6)]
