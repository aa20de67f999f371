"""What a relay and its followers send each other: a line of JSON from each, then messages of the relay, each with its length."""

import asyncio
import struct
from collections.abc import Iterable
from typing import Annotated, cast

from pydantic import BaseModel, ConfigDict, PlainSerializer, PlainValidator, ValidationError

from newswire.messaging.stream_position import Position, format_position, parse_position
from newswire_notify.streaming.stream_reading import StreamEntry, StreamRead

PROTOCOL = 1
"""The version of this protocol."""
MAX_LINE_BYTES = 4096
"""Maximum size of the first line of a follower."""
MAX_MESSAGE_BYTES = 32 * 1024 * 1024
"""A message has one entry, of a few MiB at most, or as many as fit into `PAGE_BYTES`."""
PAGE_BYTES = 256 * 1024
ENTRIES, ALIVE = 1, 2
_HEADER = struct.Struct("!BI")
_POSITION = struct.Struct("!QQ")
_ENTRY = struct.Struct("!QQH")
_LENGTH = struct.Struct("!I")


def _position(sent: object) -> Position:
    """Parse a position of a first line; one of this process is a tuple already."""
    if isinstance(sent, tuple):
        return cast("Position", sent)
    if not isinstance(sent, str):
        raise ValueError("not a position")
    return parse_position(sent)


class ProtocolError(ValueError):
    """The other end sent something that this protocol does not have."""


class Hello(BaseModel):
    """The first line of a follower: who it is, and from where on it needs the stream."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    protocol: int
    release: str
    stream: str
    database: str
    """The history (`newswire.storage.replication`) and the number of the database."""
    min_replicas: int
    after: Annotated[Position, PlainValidator(_position), PlainSerializer(format_position)]


class Answer(BaseModel):
    """The first line of the relay."""

    refused: str | None = None


def line(content: Hello | Answer) -> bytes:
    """Encode a first line."""
    return content.model_dump_json().encode() + b"\n"


async def read_hello(reader: asyncio.StreamReader) -> Hello:
    """Read the first line of a follower.

    Raises:
        ProtocolError: it is not one.
    """
    try:
        return Hello.model_validate_json(await _line(reader))
    except ValidationError as error:
        raise ProtocolError("not the first line of a follower") from error


async def read_answer(reader: asyncio.StreamReader) -> Answer:
    """Read the first line of a relay.

    Raises:
        ProtocolError: it is not one.
    """
    try:
        return Answer.model_validate_json(await _line(reader))
    except ValidationError as error:
        raise ProtocolError("not the first line of a relay") from error


async def _line(reader: asyncio.StreamReader) -> bytes:
    try:
        return await reader.readuntil(b"\n")
    except (asyncio.LimitOverrunError, asyncio.IncompleteReadError) as error:
        raise ProtocolError("no line") from error


def encode_entry(entry: StreamEntry) -> bytes:
    """Encode an entry, once for all followers."""
    entry_id, fields = entry
    parts = [_ENTRY.pack(*parse_position(entry_id.decode()), len(fields))]
    for pair in fields.items():
        for value in pair:
            parts += (_LENGTH.pack(len(value)), value)
    return b"".join(parts)


def entries_message(encoded: Iterable[bytes]) -> bytes:
    """Return a message with these entries."""
    body = b"".join(encoded)
    return _HEADER.pack(ENTRIES, len(body)) + body


def alive_message(newest: Position) -> bytes:
    """Return a message that says that no entry came, and which is the newest."""
    return _HEADER.pack(ALIVE, _POSITION.size) + _POSITION.pack(*newest)


async def read_message(reader: asyncio.StreamReader) -> StreamRead:
    """Read a message.

    Raises:
        ProtocolError: it is not one.
        asyncio.IncompleteReadError: the relay ended.
    """
    kind, size = _HEADER.unpack(await reader.readexactly(_HEADER.size))
    if size > MAX_MESSAGE_BYTES:
        raise ProtocolError("the message is too large")
    body = await reader.readexactly(size)
    try:
        if kind == ENTRIES:
            return StreamRead(_entries(body))
        if kind == ALIVE:
            return StreamRead(newest=_POSITION.unpack(body))
    except struct.error as error:
        raise ProtocolError("the message is damaged") from error
    raise ProtocolError(f"unknown message {kind}")


def _entries(body: bytes) -> list[StreamEntry]:
    found: list[StreamEntry] = []
    at = 0
    while at < len(body):
        milliseconds, sequence, count = _ENTRY.unpack_from(body, at)
        at += _ENTRY.size
        values: list[bytes] = []
        for _ in range(2 * count):
            (size,) = _LENGTH.unpack_from(body, at)
            at += _LENGTH.size
            if at + size > len(body):
                raise struct.error("cut off")
            values.append(body[at : at + size])
            at += size
        entry_id = format_position((milliseconds, sequence)).encode()
        found.append((entry_id, dict(zip(values[::2], values[1::2], strict=True))))
    return found
