"""Days as readers of a language write them."""

from datetime import date
from functools import cache, lru_cache

from babel import Locale
from babel.dates import format_date

_INTERNATIONAL_ENGLISH = "en_001"
"""Day before month, and 24 hours: what plain ``en`` stands for."""


@cache
def locale_of_texts(language: str) -> Locale:
    """Return the locale of texts in a language such as ``de`` or ``en-US``.

    Raises:
        babel.UnknownLocaleError: there is none.
    """
    return Locale.parse(_INTERNATIONAL_ENGLISH if language == "en" else language.replace("-", "_"))


@lru_cache(maxsize=1024)
def long_date(locale: Locale, day: date) -> str:
    """Return a day, such as 1 March 2026; a page names the same ones again and again, and formatting one takes 0.1 ms."""
    return format_date(day, "long", locale=locale)
