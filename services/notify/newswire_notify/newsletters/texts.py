"""What readers read around the articles, in four languages: `texts/*.json`. Other languages get English."""

from collections.abc import Mapping
from datetime import date
from functools import cache
from importlib.resources import files

import orjson

from newswire.text.dates import locale_of_texts, long_date
from newswire_notify.newsletters.models import Choices
from newswire_notify.newsletters.schedule import Cadence

WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
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


def day_of_texts(day: str, language: str) -> str:
    """Return a day that is written as ``2026-03-01`` as the texts for a language tag write it: 1 March 2026."""
    return long_date(locale_of_texts(text_language(language)), date.fromisoformat(day))


def described_choices(choices: Choices, language: str) -> str:
    """Return how often a reader gets mail, and when: “Once a week, Monday, 07:00 (Europe/Berlin)”."""
    wording = texts(language)
    if choices.cadence is Cadence.INSTANT:
        return wording[choices.cadence]
    days = [wording[WEEKDAYS[choices.weekday]]] if choices.cadence is Cadence.WEEKLY else []
    return ", ".join([wording[choices.cadence], *days, f"{choices.hour:02}:00 ({choices.zone})"])
