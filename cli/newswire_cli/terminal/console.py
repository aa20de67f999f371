"""The output of commands: results on stdout, one clear line on stderr for an error."""

import re
import sys
from typing import TYPE_CHECKING, NoReturn

import typer

from newswire.validation.characters import escaped

if TYPE_CHECKING:
    from pydantic import ValidationError

    from newswire.settings import SettingsError

_TEXT = re.compile(r"[^\t\n]+")
"""Text between the tabs and line breaks that commands print themselves."""


def fail(message: str, code: int = 1) -> NoReturn:
    """End the command with one line on stderr. Exit code 2 means that the command was called with wrong arguments."""
    print(f"newswire: {escaped(' '.join(message.split()))}", file=sys.stderr)
    raise typer.Exit(code)


def note(message: str) -> None:
    """Print a note on stderr, separate from the results."""
    print(f"newswire: {escaped(message)}", file=sys.stderr, flush=True)


def say(line: str = "") -> None:
    """Print a line immediately, also into a pipe, and never wrapped, so that it can be copied.

    Control characters are escaped: the line may contain text from clients, which must not control the terminal.
    """
    print(_TEXT.sub(lambda found: escaped(found[0]), line), flush=True)


def settings_problem(error: "ValidationError | SettingsError") -> str:
    """Return one line that names the invalid settings, without their values: some are secret."""
    from newswire.settings import SettingsError

    if isinstance(error, SettingsError):
        return str(error)
    invalid = error.errors(include_input=False)
    problems = (f"NEWSWIRE_{str(problem['loc'][0]).upper()}: {problem['msg']}" for problem in invalid)
    return "these settings are invalid: " + "; ".join(problems)
