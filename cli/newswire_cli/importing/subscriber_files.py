"""Reads and writes the CSV files of `newswire newsletters import` and `export`, as spreadsheets in every country save them."""

import codecs
import csv
import io
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

MAX_CSV_BYTES = 512 * 1024 * 1024
REQUIRED = ("email", "consent_at", "consent_source")
_DELIMITERS = ",;\t"
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
"""What cells begin with that spreadsheets take for formulas."""
_HEADER_BYTES = 64 * 1024


class UnreadableFileError(ValueError):
    """The file is not a list of subscribers; the message says why, and what to do."""


def read_subscriber_file(file: Path) -> tuple[Sequence[str], Iterator[tuple[int, Mapping[str, str]]]]:
    """Return the names of a file's columns in lower case, and its rows with the number of the line that each ends on.

    Commas, semicolons and tabs separate columns; the text is UTF-8, or UTF-16 with a byte order mark.

    Raises:
        UnreadableFileError: now, or while the rows are read.
        OSError: the file cannot be read.
    """
    if file.stat().st_size > MAX_CSV_BYTES:
        raise UnreadableFileError(f"{file} has more than {MAX_CSV_BYTES:,} bytes; split it")
    rows = _rows(file)
    _, header = next(rows, (1, {}))
    return list(header), rows


def _rows(file: Path) -> Iterator[tuple[int, Mapping[str, str]]]:
    """Yield the header first, then the rows."""
    with io.BufferedReader(io.FileIO(file), _HEADER_BYTES) as opened:  # opened once: it may be a pipe
        start = opened.peek()
        wide = start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
        text = io.TextIOWrapper(opened, encoding="utf-16" if wide else "utf-8-sig", newline="")
        try:
            first = start.decode(text.encoding, errors="ignore").splitlines()
            reader = csv.DictReader(text, restval="", delimiter=_delimiter(first[0] if first else ""))
            names = [(name or "").strip().lower() for name in reader.fieldnames or ()]
            _check_columns(file, names)
            reader.fieldnames = names
            yield 1, dict.fromkeys(names, "")
            for row in reader:
                yield reader.line_num, {name: _active(value) for name, value in row.items() if isinstance(value, str)}
        except UnicodeError as error:
            raise UnreadableFileError(
                f"{file} cannot be read as text: {error}; save it as “CSV UTF-8” in the spreadsheet program"
            ) from None
        except csv.Error as error:
            raise UnreadableFileError(f"{file} is not a CSV file: {error}") from None


def _delimiter(header: str) -> str:
    """Return what separates the columns: spreadsheets write semicolons where a comma is the decimal sign."""
    return max(_DELIMITERS, key=header.count)


def _check_columns(file: Path, names: Sequence[str]) -> None:
    if missing := [name for name in REQUIRED if name not in names]:
        raise UnreadableFileError(
            f"{file} has no column {', '.join(missing)}; mail needs proof that its reader consented"
        )
    if twice := [name for name, count in Counter(names).items() if name and count > 1]:
        raise UnreadableFileError(f"{file} has more than one column {', '.join(twice)}; keep one of each name")


def _active(value: str) -> str:
    """Return a cell as it was before `inert`."""
    return value[1:] if value.startswith("'") and value[1:2] in _FORMULA else value


def inert(value: str) -> str:
    """Return a cell that no spreadsheet takes for a formula."""
    return f"'{value}" if value[:1] in _FORMULA else value
