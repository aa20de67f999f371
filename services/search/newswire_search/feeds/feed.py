"""What a feed holds, before it is written in one of its formats."""

import re
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any
from urllib.parse import quote

from newswire.article import Author, Image
from newswire.schema_org import known_language
from newswire_search.site.links import QueryPairs, address, feed_address, narrowed

_NOT_IN_ADDRESSES = re.compile(r'[\x00-\x20\x7f<>"{}|\\^`]')
SUMMARY_CHARACTERS = 300
"""Characters of an article's text that stand in for a summary, where it has none."""
MAX_SUMMARY_SOURCE_CHARACTERS = 4 * SUMMARY_CHARACTERS


class Format(StrEnum):
    """A format of feeds, by the ending of its address."""

    RSS = "xml"
    ATOM = "atom"
    JSON = "json"


NAMES = {Format.RSS: "RSS", Format.ATOM: "Atom", Format.JSON: "JSON Feed"}
MEDIA_TYPES = {
    Format.RSS: "application/rss+xml",
    Format.ATOM: "application/atom+xml",
    Format.JSON: "application/feed+json",
}


@dataclass(frozen=True, slots=True)
class FeedLink:
    """A link to a feed in one format."""

    name: str
    """Of the format."""
    title: str
    """Of the feed."""
    media_type: str
    href: str


@dataclass(frozen=True, slots=True)
class FeedEntry:
    """An article in a feed."""

    id: str
    """A name that stays whatever becomes of title and address."""
    url: str
    canonical: str | None
    """Where else the article's own place is, if not here."""
    title: str
    summary: str
    body: str | None
    """Sanitised HTML, where feeds carry whole articles."""
    authors: Sequence[Author]
    publisher: str
    tags: Sequence[str]
    """The category, then the topics."""
    language: str | None
    image: Image | None
    published: datetime
    updated: datetime

    @property
    def credited(self) -> Sequence[Author]:
        """Who is said to have written it: the publisher, where no author is named."""
        return self.authors or [Author(name=self.publisher)]


@dataclass(frozen=True, slots=True)
class Feed:
    """The newest articles of one search; all addresses are absolute."""

    title: str
    home: str
    """The page that shows the same."""
    address: str
    """The feed's own address."""
    entries: Sequence[FeedEntry]

    @property
    def updated(self) -> datetime | None:
        """When the last of its entries was changed."""
        return max((entry.updated for entry in self.entries), default=None)

    @property
    def language(self) -> str | None:
        """The language that all entries share."""
        languages = {entry.language for entry in self.entries}
        return languages.pop() if len(languages) == 1 else None


def feed_entry(article: Mapping[str, Any], *, whole: bool) -> FeedEntry:
    """Return an article as an entry, with its body if the whole article is wanted."""
    published, updated = (datetime.fromisoformat(article[name]) for name in ("published_at", "updated_at"))
    category, image = article.get("category"), article.get("image")
    canonical = article.get("canonical_url")
    return FeedEntry(
        id=f"urn:newswire:article:{article['id']}",
        url=article["url"],
        canonical=_written_out(canonical) if canonical and canonical != article["url"] else None,
        title=article["title"],
        summary=article.get("summary") or _beginning(article.get("text", "")),
        body=article.get("body") if whole else None,
        authors=[
            Author(name=author["name"], url=_written_out(author.get("url"))) for author in article.get("authors", [])
        ],
        publisher=article["publisher"],
        tags=[*([category] if category else []), *article.get("topics", [])],
        language=known_language(article),
        image=Image.model_validate({**image, "url": _written_out(image["url"])}) if image else None,
        published=published,
        updated=max(published, updated),
    )


def _beginning(text: str) -> str:
    """Return the first words of a text, or its first characters where it is written without spaces."""
    text = text[:MAX_SUMMARY_SOURCE_CHARACTERS]  # before anything is done to all of it: it may hold a million
    found = textwrap.shorten(text, SUMMARY_CHARACTERS, placeholder=" …")
    return found if found != "…" else text[: SUMMARY_CHARACTERS - 2].rstrip() + " …"


def _written_out(address: str | None) -> str | None:
    """Return an address with those characters encoded that must not stand in one, whatever publishers sent."""
    return address and _NOT_IN_ADDRESSES.sub(lambda found: quote(found[0]), address)


def links_to(sent: QueryPairs) -> list[FeedLink]:
    """Return links to the feed of these parameters, one for each format."""
    return [
        FeedLink(NAMES[form], feed_title(narrowed(sent)), MEDIA_TYPES[form], feed_address(sent, form))
        for form in Format
    ]


def page_path(sent: QueryPairs) -> str:
    """Return the path of the page that shows what a feed of these parameters holds."""
    return address(sent) if sent else "/"


def feed_title(sent: QueryPairs) -> str:
    """Return what a feed of these parameters is called."""
    return f"Newswire: {', '.join(_words(name, value) for name, value in sent) or 'latest articles'}"


def _words(name: str, value: str) -> str:
    if name in ("from", "to"):
        return f"{name} {value}"
    return f"not {value[1:]}" if name != "q" and value.startswith("-") else value
