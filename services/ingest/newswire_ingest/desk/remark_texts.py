"""Remarks on the items of an import, in the language of the page.

The readers of formats write them in English, for the command line too. `remarks/*.json` have the translation of each English form;
what stands for a name in braces is taken over, or is itself a remark.
"""

import re
from functools import cache, lru_cache
from importlib.resources import files
from typing import NamedTuple

import orjson

from newswire_ingest.desk.assets import PACKAGE

MAX_CHARS = 600
"""Of a remark that is translated; the readers' own are shorter."""
_TRANSLATED = frozenset({"order", "remark", "repairs", "what"})
"""What stands for these names may be remarks."""
_NAME = re.compile(r"\{(\w+)\}")


class RemarkText(NamedTuple):
    """A remark as a page shows it."""

    text: str
    language: str


class _Form(NamedTuple):
    pattern: re.Pattern[str]
    translation: str


@lru_cache(maxsize=4096)
def remark_text(remark: str, language: str) -> RemarkText:
    """Return a remark in a language; in English where it has no translation."""
    found = _translated(remark, language) if len(remark) <= MAX_CHARS else None
    return RemarkText(remark, "en") if found is None else RemarkText(found, language)


def _translated(remark: str, language: str) -> str | None:
    for form in _forms(language):
        if found := form.pattern.fullmatch(remark):
            return _filled(form.translation, found.groupdict(), language)
    parts = [_translated(part, language) for part in remark.split("; ")] if "; " in remark else []
    known = [part for part in parts if part is not None]
    return "; ".join(known) if known and len(known) == len(parts) else None


def _filled(translation: str, values: dict[str, str], language: str) -> str:
    def value(name: re.Match[str]) -> str:
        given = values[name[1]]
        return _translated(given, language) or given if name[1] in _TRANSLATED else given

    return _NAME.sub(value, translation)


@cache
def _forms(language: str) -> tuple[_Form, ...]:
    """Return the English forms with their translations: those with the most fixed text first."""
    stored: dict[str, str] = orjson.loads(files(PACKAGE).joinpath("remarks", f"{language}.json").read_bytes())
    longest_first = sorted(stored.items(), key=lambda each: -len(_NAME.sub("", each[0])))
    return tuple(_Form(_pattern(english), translation) for english, translation in longest_first)


def _pattern(english: str) -> re.Pattern[str]:
    parts = _NAME.split(english)
    return re.compile("".join(f"(?P<{part}>.+)" if at % 2 else re.escape(part) for at, part in enumerate(parts)), re.S)
