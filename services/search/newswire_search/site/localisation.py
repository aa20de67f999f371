"""The language of the frame: its messages, dates and numbers.

The catalogs are the ``.po`` files in ``locales``, which translators edit. They are compiled in memory at the start, so that a
checkout and a wheel hold the same files and nothing has to be built.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from importlib.resources import files
from io import BytesIO

from babel import Locale, UnknownLocaleError
from babel.core import get_global
from babel.dates import format_date, format_skeleton
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from babel.numbers import format_decimal
from babel.support import NullTranslations, Translations

from newswire.text.dates import locale_of_texts, long_date
from newswire.text.direction import Direction, direction_of


@dataclass(frozen=True, slots=True)
class Localisation:
    """The messages and formats of one language of the frame."""

    tag: str
    """The language as HTML writes it."""
    locale: Locale
    translations: NullTranslations

    @property
    def formats_tag(self) -> str:
        """The locale of dates, for scripts."""
        return str(self.locale).replace("_", "-")

    @property
    def direction(self) -> Direction:
        """The direction of the frame."""
        return direction_of(self.tag)

    @property
    def social_locale(self) -> str:
        """The locale as OpenGraph writes it: language and territory."""
        return social_locale(self.locale)

    def date(self, at: datetime) -> str:
        """Return a day in UTC, such as 1 March 2026."""
        return long_date(self.locale, at.astimezone(UTC).date())

    def day_of_week(self, at: datetime) -> str:
        """Return a day in UTC with its weekday."""
        return format_date(at.astimezone(UTC), "full", locale=self.locale)

    def moment(self, at: datetime) -> str:
        """Return a time in UTC, to the minute."""
        return f"{self.date(at)}, {self.clock(at)} UTC"

    def clock(self, at: datetime) -> str:
        """Return the hours and minutes of a time in UTC."""
        return at.astimezone(UTC).strftime("%H:%M")

    def month(self, text: str) -> str:
        """Return a month that is written as ``2026-03``."""
        at = datetime.strptime(text, "%Y-%m").replace(tzinfo=UTC)
        return format_skeleton("yMMMM", at, locale=self.locale)

    def number(self, value: int) -> str:
        """Return a whole number with its separators."""
        return format_decimal(value, locale=self.locale)

    def language_name(self, tag: str) -> str:
        """Return the name of a language, or its tag if it has none."""
        try:
            return Locale.parse(tag, sep="-").get_display_name(self.locale) or tag
        except (ValueError, UnknownLocaleError):
            return tag


def social_locale(locale: Locale) -> str:
    """Return a locale as OpenGraph writes it, with the territory where most readers of its language live if it has none."""
    territory = locale.territory
    if territory is None or territory.isdigit():
        likely: str = get_global("likely_subtags").get(locale.language, "")
        territory = likely.rpartition("_")[2]
    return f"{locale.language}_{territory}" if territory else locale.language


@cache
def localisation(language: str) -> Localisation:
    """Return the localisation of a language of the frame, such as ``de`` or ``en-US``."""
    locale = locale_of_texts(language)
    return Localisation(language, locale, _translations(locale.language))


@cache
def _translations(language: str) -> NullTranslations:
    if language == "en":  # messages are written in it
        return NullTranslations()
    source = files("newswire_search.site").joinpath("locales", f"{language}.po").read_bytes()
    compiled = BytesIO()
    write_mo(compiled, read_po(BytesIO(source), locale=language))
    compiled.seek(0)
    return Translations(compiled)


def social_locale_of(article: Mapping[str, object]) -> str | None:
    """Return the locale of an article as OpenGraph writes it, or None if its language is unknown."""
    try:
        return social_locale(Locale.parse(language_of(article), sep="-"))
    except (ValueError, UnknownLocaleError):
        return None


def language_of(article: Mapping[str, object]) -> str:
    """Return the language of an article as HTML writes it; empty if it is unknown."""
    language = str(article.get("language") or "und")
    return "" if language == "und" else language
