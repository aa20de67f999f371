"""The file format of a backup: one Zstandard frame (RFC 8878) of JSON lines: a header, the records, and their count."""

import base64
import os
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import orjson
import zstandard

FORMAT = 1
LEVEL = 6
Record = dict[str, Any]


class BackupUnreadableError(Exception):
    """The file is not a backup, or incomplete; the message says why."""


class ArchiveWriter:
    """Writes records into a new file that only its owner can read. The file is complete once it is closed without an error."""

    def __init__(self, path: Path, header: Mapping[str, Any] | None = None) -> None:
        self.records = 0
        self._file = os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb")
        self._frame = zstandard.ZstdCompressor(level=LEVEL, write_checksum=True).stream_writer(
            self._file, closefd=False
        )
        about = {"newswire": "backup", "format": FORMAT, "created_at": datetime.now(UTC).isoformat(timespec="seconds")}
        self._line({**(header or about)})

    def write(self, record: Record) -> None:
        """Add a record."""
        self._line(record)
        self.records += 1

    def __enter__(self) -> Self:
        """Return the open file."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Close the file, and flush it to disk unless an error occurred."""
        try:
            if error is None:
                self._line({"record": "end", "records": self.records})
                self._frame.close()  # type: ignore[no-untyped-call] # untyped in their stubs
                self._file.flush()
                os.fsync(self._file.fileno())
        finally:
            self._file.close()

    def _line(self, content: Mapping[str, Any]) -> None:
        self._frame.write(orjson.dumps(content) + b"\n")


def read_archive(path: Path) -> tuple[Record, Iterator[Record]]:
    """Return the header of a backup, and its records.

    Raises:
        BackupUnreadableError: it is not a backup that this release reads; while reading records: it is corrupted or truncated.
    """
    lines = _lines(path)
    header = next(lines, {})
    if header.get("newswire") != "backup":
        raise BackupUnreadableError(f"{path} is not a backup of Newswire")
    if header["format"] != FORMAT:
        raise BackupUnreadableError(f"{path} has the format {header['format']}, this release reads {FORMAT}")
    return header, _records(path, lines)


def text(value: bytes) -> Any:
    """Return bytes in a form that JSON can contain: a string, or Base64 if they are not UTF-8."""
    try:
        return value.decode()
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(value).decode()}


def raw(value: Any) -> bytes:
    """Return the bytes from the form that `text` returns."""
    return value.encode() if isinstance(value, str) else base64.b64decode(value["base64"])


def _lines(path: Path) -> Iterator[Record]:
    with zstandard.open(path, "rt", encoding="utf-8") as frame:
        try:
            for line in frame:
                yield orjson.loads(line)
        except (zstandard.ZstdError, UnicodeDecodeError, orjson.JSONDecodeError) as error:
            raise BackupUnreadableError(f"{path} is corrupted, or not a backup: {error}") from None


def _records(path: Path, lines: Iterator[Record]) -> Iterator[Record]:
    for count, record in enumerate(lines):
        if record["record"] == "end":
            if record["records"] != count:
                raise BackupUnreadableError(f"{path} contains {count} records instead of {record['records']}")
            return
        yield record
    raise BackupUnreadableError(f"{path} is truncated: it was not written completely")
