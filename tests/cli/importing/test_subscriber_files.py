"""Lists of subscribers as the spreadsheets of many countries save them."""

import codecs
import os
import threading
from pathlib import Path

import pytest

from newswire_cli.importing.subscriber_files import UnreadableFileError, inert, read_subscriber_file

HEADER = "Email, consent_at ,consent_source,topics"
ROW = 'Reader@example.org,2024-05-01T10:00:00Z,"Form, page 1",Ferries'


def written(tmp_path: Path, data: bytes) -> Path:
    file = tmp_path / "readers.csv"
    file.write_bytes(data)
    return file


@pytest.mark.parametrize(
    "data",
    [
        f"{HEADER}\n{ROW}\n".encode(),
        f"{HEADER}\r\n{ROW}".encode(),
        f"{HEADER}\r{ROW}\r".encode(),
        codecs.BOM_UTF8 + f"{HEADER}\r\n{ROW}\r\n".encode(),
        f"{HEADER}\r\n{ROW}\r\n".encode("utf-16"),
        codecs.BOM_UTF16_BE + f"{HEADER}\r\n{ROW}\r\n".encode("utf-16-be"),
        HEADER.replace(",", ";").encode() + b'\nReader@example.org;2024-05-01T10:00:00Z;"Form, page 1";Ferries\n',
        HEADER.replace(",", "\t").encode() + b"\nReader@example.org\t2024-05-01T10:00:00Z\tForm, page 1\tFerries\n",
    ],
    ids=["lf", "crlf", "cr", "bom", "utf-16 le", "utf-16 be", "semicolons", "tabs"],
)
def test_files_of_spreadsheets_are_read(tmp_path: Path, data: bytes) -> None:
    columns, rows = read_subscriber_file(written(tmp_path, data))
    assert columns == ["email", "consent_at", "consent_source", "topics"]
    assert list(rows) == [
        (
            2,
            {
                "email": "Reader@example.org",
                "consent_at": "2024-05-01T10:00:00Z",
                "consent_source": "Form, page 1",
                "topics": "Ferries",
            },
        )
    ]


def test_a_list_may_come_through_a_pipe(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_bytes, args=(f"{HEADER}\n{ROW}\n".encode(),))
    writer.start()
    _, rows = read_subscriber_file(pipe)
    assert [number for number, _ in rows] == [2]
    writer.join()


def test_a_line_break_in_a_cell_and_short_and_long_rows(tmp_path: Path) -> None:
    data = f'{HEADER}\r\na@example.org,x,"two\r\nlines",\r\nb@example.org\r\nc@example.org,1,2,3,4,5\r\n'.encode()
    _, rows = read_subscriber_file(written(tmp_path, data))
    found = list(rows)
    assert [number for number, _ in found] == [3, 4, 5]
    assert found[0][1]["consent_source"] == "two\r\nlines"
    assert found[1][1] == {"email": "b@example.org", "consent_at": "", "consent_source": "", "topics": ""}
    assert found[2][1]["topics"] == "3"


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "no column email, consent_at, consent_source"),
        (b"mail;consent_at;consent_source\n", "no column email;"),
        (b"email,consent_at,consent_source,Email\n", "more than one column email"),
        (f"{HEADER}\n".encode() + b"a@example.org,x,B\xfcro,\n", "save it as “CSV UTF-8”"),
        (codecs.BOM_UTF16_LE + b"e\x00m\x00a", "truncated data"),
        (f"{HEADER}\n".encode() + b'a@example.org,x,"' + b"x" * 200_000 + b'"\n', "field larger than field limit"),
    ],
    ids=["empty", "another name", "twice", "latin-1", "cut short", "a cell without end"],
)
def test_what_cannot_be_read_is_refused_with_a_remedy(tmp_path: Path, data: bytes, reason: str) -> None:
    with pytest.raises(UnreadableFileError, match=reason):
        list(read_subscriber_file(written(tmp_path, data))[1])


@pytest.mark.parametrize("first", ["=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠"])
def test_a_cell_of_an_export_is_no_formula_and_is_read_back(tmp_path: Path, first: str) -> None:
    value = f"{first}cmd"
    assert inert(value) == f"'{value}"
    cell = inert(value)
    _, rows = read_subscriber_file(written(tmp_path, f'{HEADER}\na@example.org,x,"{cell}",\n'.encode()))
    assert next(rows)[1]["consent_source"] == value
