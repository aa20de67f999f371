"""Records on the terminal: a table for people, tab-separated lines for a file or a pipe, or JSON."""

import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from newswire.validation.characters import escaped
from newswire_cli.terminal.console import say
from newswire_cli.terminal.json_output import print_json

Record = Mapping[str, Any]


def print_records(
    records: Sequence[Record], columns: Mapping[str, Callable[[Record], str]], *, as_json: bool = False
) -> None:
    """Print records as a table, or with all their members as a JSON array.

    Args:
        columns: the heading of each column, and the function that formats its cell from a record.
    """
    if as_json:
        print_json(list(records))
    else:
        print_table(list(columns), [[cell(record) for cell in columns.values()] for record in records])


def print_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print rows under the names of their columns."""
    if not sys.stdout.isatty():
        for row in (columns, *rows):
            say("\t".join(cell.replace("\t", " ").replace("\n", " ") for cell in row))
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(*columns, box=None, header_style="bold", pad_edge=False)
    for row in rows:
        table.add_row(*(Text(escaped(cell), overflow="fold") for cell in row))
    Console().print(table)


def member(name: str) -> Callable[[Record], str]:
    """Return a function that formats one member of a record as text; empty for null."""
    return lambda record: "" if record[name] is None else str(record[name])


def minute(name: str) -> Callable[[Record], str]:
    """Return a function that formats a time of a record to the minute; empty for null."""
    return lambda record: "" if record[name] is None else f"{record[name]:%Y-%m-%d %H:%M}"


def second(name: str) -> Callable[[Record], str]:
    """Return a function that formats a time of a record to the second."""
    return lambda record: f"{record[name]:%Y-%m-%d %H:%M:%S}"
