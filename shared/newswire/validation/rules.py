"""Rules that a member breaks, said with the way out: what `newswire.http.problems` turns into a field's error."""

from typing import Final

from pydantic_core import PydanticCustomError

RULE: Final = "rule"
"""The type of these errors."""


def broken_rule(problem: str, fix: str) -> PydanticCustomError:
    """Return the error of a validator: ``problem`` goes on behind the field's name, ``fix`` says what to do."""
    return PydanticCustomError(RULE, "{problem}", {"problem": problem, "fix": fix})
