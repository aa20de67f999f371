"""The option ``--reason`` of operators' commands."""

from newswire_cli.terminal.console import fail

MAX_REASON_CHARS = 1000


def checked_reason(reason: str) -> str:
    """Return a reason as the HTTP interface would accept it, on one line; end the command where it would not."""
    line = " ".join(reason.split())
    if not 1 <= len(line) <= MAX_REASON_CHARS:
        fail(f"--reason must have 1 to {MAX_REASON_CHARS} characters", code=2)
    return line
