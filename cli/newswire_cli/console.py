"""What the command line says: results on stdout, one clear line on stderr for what went wrong."""

import sys
from typing import TYPE_CHECKING, NoReturn

import typer

if TYPE_CHECKING:
    from pydantic import ValidationError


def fail(message: str, code: int = 1) -> NoReturn:
    """End the command with one line on stderr; exit code 2 says that it was called wrongly."""
    print(f"newswire: {' '.join(message.split())}", file=sys.stderr)
    raise typer.Exit(code)


def say(line: str = "") -> None:
    """Print a line at once, also into a pipe, and never wrapped: what is shown is there to be copied."""
    print(line, flush=True)


def settings_problem(error: "ValidationError") -> str:
    """Say in one line which settings are wrong, without the values: some are secret."""
    wrong = error.errors(include_input=False)
    problems = (f"NEWSWIRE_{str(problem['loc'][0]).upper()}: {problem['msg']}" for problem in wrong)
    return "these settings are wrong: " + "; ".join(problems)
