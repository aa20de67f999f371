"""What error pages say: problems are written in English; `problems/*.json` have a translation of each type."""

from functools import cache
from importlib.resources import files
from typing import NamedTuple

import orjson

from newswire.http.problem_types import PROBLEM_URN
from newswire.http.problems import ProblemError

OTHER = "http-error"
"""The type whose text stands for those that no page answers with."""


class ProblemText(NamedTuple):
    """The heading of an error page, and the sentences below it."""

    heading: str
    detail: str


def problem_text(error: ProblemError, language: str) -> ProblemText:
    """Return what a page says about a problem."""
    if language == "en":
        return ProblemText(error.title, f"{error.detail[:1].upper()}{error.detail[1:]}.")
    translated = translations(language)
    return translated.get(error.type.removeprefix(PROBLEM_URN), translated[OTHER])


@cache
def translations(language: str) -> dict[str, ProblemText]:
    """Return the texts of the types of problems in a language other than English."""
    stored = orjson.loads(files(__package__).joinpath("problems", f"{language}.json").read_bytes())
    return {name: ProblemText(**texts) for name, texts in stored.items()}
