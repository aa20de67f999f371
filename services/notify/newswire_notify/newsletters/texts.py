"""What readers read around the articles, in four languages: `texts/*.json`. Other languages get English."""

from collections.abc import Mapping
from functools import cache
from importlib.resources import files

import orjson

LANGUAGES = ("en", "de", "fr", "es")


@cache
def texts(language: str) -> Mapping[str, str]:
    """Return the texts for a language tag; English where there are none."""
    return _catalogue(text_language(language))


@cache
def _catalogue(language: str) -> Mapping[str, str]:
    found: dict[str, str] = orjson.loads(files(__package__).joinpath("texts", f"{language}.json").read_bytes())
    return found


def text_language(language: str) -> str:
    """Return the language in which `texts` answers for a tag."""
    primary = language.lower().partition("-")[0]
    return primary if primary in LANGUAGES else "en"
