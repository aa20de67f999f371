"""The versions of an article in other languages, which its metadata name."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from newswire.text.folding import fold
from newswire_search.site.localisation import Localisation
from newswire_search.site.presentation import Teaser

_PREFIX = "hreflang-"
"""Of the names of metadata that give the address of a version."""
_LANGUAGE_TAG = re.compile(r"[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8}){0,3}")


@dataclass(frozen=True, slots=True)
class Alternate:
    """A version of a page in another language."""

    language: str
    name: str
    href: str


def versions_of(article: Mapping[str, Any], words: Localisation) -> list[Alternate]:
    """Return the versions in other languages."""
    own = fold(str(article.get("language") or "und"))
    return [
        Alternate(language, words.language_name(language), href)
        for name, href in sorted((article.get("metadata") or {}).items())
        if name.startswith(_PREFIX)
        and _LANGUAGE_TAG.fullmatch(language := name.removeprefix(_PREFIX))
        and fold(language) != own
        and _is_web_address(href)
    ]


def alternates(
    article: Mapping[str, Any], shown: Teaser, versions: Sequence[Alternate], words: Localisation
) -> list[Alternate]:
    """Return an article and its versions: search engines ignore versions of which one does not name itself and all others.

    None for an article whose original is elsewhere: the original names them.
    """
    if not versions or not shown.lang or shown.canonical != article["url"]:
        return []
    return [Alternate(shown.lang, words.language_name(shown.lang), article["url"]), *versions]


def _is_web_address(text: str) -> bool:
    try:
        parts = urlsplit(text)
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and bool(parts.hostname) and text.isprintable() and " " not in text
