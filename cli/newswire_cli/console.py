"""What the command line says: results on stdout, one clear line on stderr for what went wrong."""

import sys
from typing import NoReturn

import typer


def fail(message: str) -> NoReturn:
    """End the command with one line on stderr and exit code 1."""
    print(f"newswire: {' '.join(message.split())}", file=sys.stderr)
    raise typer.Exit(1)


def say(line: str = "") -> None:
    """Print a line at once, also into a pipe, and never wrapped: what is shown is there to be copied."""
    print(line, flush=True)
