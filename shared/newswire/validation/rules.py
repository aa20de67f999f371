"""Validation errors that include the fix; `newswire.http.problems` turns them into the field errors of a problem document."""

from typing import Final

from pydantic_core import PydanticCustomError

RULE: Final = "rule"
"""The type of these errors."""


def broken_rule(problem: str, fix: str) -> PydanticCustomError:
    """Return the error of a validator: ``problem`` continues after the field's name, ``fix`` says what to do."""
    return PydanticCustomError(RULE, "{problem}", {"problem": problem, "fix": fix})
