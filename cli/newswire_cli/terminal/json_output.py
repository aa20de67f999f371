"""The option ``--json`` and how commands print JSON."""

from typing import Annotated, Any

import typer

from newswire_cli.terminal.console import say

Json = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]


def print_json(value: Any) -> None:
    """Print a value as indented JSON. Times are printed in UTC (RFC 3339)."""
    import orjson

    say(orjson.dumps(value, option=orjson.OPT_INDENT_2 | orjson.OPT_UTC_Z).decode())


def print_json_line(value: Any) -> None:
    """Print a value as JSON on one line, for streams of records (NDJSON)."""
    import orjson

    say(orjson.dumps(value, option=orjson.OPT_UTC_Z).decode())
