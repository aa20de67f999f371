"""The frame in four languages."""

import re
from datetime import UTC, datetime
from importlib.resources import files
from io import BytesIO
from pathlib import Path

import pytest
from babel.messages.extract import extract_from_dir
from babel.messages.pofile import read_po

from newswire.site.settings import SITE_LANGUAGES
from newswire_search.site.localisation import localisation

SITE = Path(str(files("newswire_search.site")))
METHODS = [("templates/**.html", "jinja2.ext:babel_extract"), ("**.py", "python")]
OPTIONS = {"templates/**.html": {"newstyle_gettext": "true"}}
KEYWORDS = {"_": None, "gettext": None, "ngettext": (1, 2)}
PLACEHOLDER = re.compile(r"%\(\w+\)s|\{\w+\}")
AT = datetime(2026, 3, 1, 9, 5, tzinfo=UTC)


def messages() -> set[str | tuple[str, ...]]:
    """Return the messages of templates and modules."""
    found = extract_from_dir(str(SITE), method_map=METHODS, options_map=OPTIONS, keywords=KEYWORDS)
    return {message for _, _, message, _, _ in found}


def translations(language: str) -> dict[str | tuple[str, ...], tuple[str, ...]]:
    """Return the messages of a catalog and their translations, one for each plural form."""
    found: dict[str | tuple[str, ...], tuple[str, ...]] = {}
    for message in read_po(BytesIO((SITE / "locales" / f"{language}.po").read_bytes()), locale=language):
        assert not message.fuzzy
        texts = message.string if isinstance(message.string, list | tuple) else [message.string or ""]
        source = message.id if isinstance(message.id, str) else tuple(message.id)
        if source:
            found[source] = tuple(str(text) for text in texts)
    return found


@pytest.mark.parametrize("language", [each for each in SITE_LANGUAGES if each != "en"])
def test_every_message_is_translated(language: str) -> None:
    translated = translations(language)
    assert set(translated) == messages()
    for source, texts in translated.items():
        assert all(texts), source
        plural = source if isinstance(source, str) else source[-1]
        assert set(PLACEHOLDER.findall(texts[-1])) == set(PLACEHOLDER.findall(plural)), source


def test_messages_are_found() -> None:
    assert {"Skip to content", "Too many requests", ("One article", "%(shown)s articles")} <= messages()


@pytest.mark.parametrize(
    ("language", "moment", "number", "tag"),
    [
        ("en", "1 March 2026, 09:05 UTC", "12,345", "en-001"),
        ("en-US", "March 1, 2026, 09:05 UTC", "12,345", "en-US"),
        ("de", "1. März 2026, 09:05 UTC", "12.345", "de"),
        ("fr", "1 mars 2026, 09:05 UTC", "12\u202f345", "fr"),
        ("es", "1 de marzo de 2026, 09:05 UTC", "12.345", "es"),
    ],
)
def test_dates_and_numbers(language: str, moment: str, number: str, tag: str) -> None:
    words = localisation(language)
    assert (words.moment(AT), words.number(12345), words.formats_tag) == (moment, number, tag)


def test_months_and_languages_have_names() -> None:
    german = localisation("de")
    assert german.month("2026-03") == "März 2026"
    tags = ("fr", "pt-BR", "x-none")
    assert [german.language_name(tag) for tag in tags] == ["Französisch", "Portugiesisch (Brasilien)", "x-none"]
