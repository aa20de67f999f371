"""What the command line says: results on stdout, one clear line on stderr for what went wrong."""

import re
import sys
from typing import TYPE_CHECKING, NoReturn

import typer

from newswire.validation.characters import escaped

if TYPE_CHECKING:
    from pydantic import ValidationError

_PLAIN = re.compile(r"[^\t\n]+")
"""What is between the tabs and line breaks that commands themselves print."""


def fail(message: str, code: int = 1) -> NoReturn:
    """End the command with one line on stderr; exit code 2 says that it was called wrongly."""
    print(f"newswire: {escaped(' '.join(message.split()))}", file=sys.stderr)
    raise typer.Exit(code)


def note(message: str) -> None:
    """Print a remark on stderr, apart from the results."""
    print(f"newswire: {escaped(message)}", file=sys.stderr, flush=True)


def say(line: str = "") -> None:
    """Print a line at once, also into a pipe, and never wrapped: what is shown is there to be copied.

    What clients sent may be part of it: characters that would give orders to a terminal are written out.
    """
    print(_PLAIN.sub(lambda found: escaped(found[0]), line), flush=True)


def settings_problem(error: "ValidationError") -> str:
    """Say in one line which settings are wrong, without the values: some are secret."""
    wrong = error.errors(include_input=False)
    problems = (f"NEWSWIRE_{str(problem['loc'][0]).upper()}: {problem['msg']}" for problem in wrong)
    return "these settings are wrong: " + "; ".join(problems)
