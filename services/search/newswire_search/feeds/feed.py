"""A feed and its entries, independent of the output format."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any
from urllib.parse import quote

from newswire.article import Author, Image
from newswire.schema_org import known_language
from newswire_search.site.links import QueryPairs, feed_address, filter_pairs, label_path, search_path

_INVALID_IN_URLS = re.compile(r'[\x00-\x20\x7f<>"{}|\\^`]')
LATEST = "Latest articles"
SUMMARY_CHARACTERS = 300
"""How many characters of an article's text replace a missing summary."""
USUAL_SUMMARY_SOURCE_CHARACTERS = SUMMARY_CHARACTERS + 30
MAX_SUMMARY_SOURCE_CHARACTERS = 4 * SUMMARY_CHARACTERS


class Format(StrEnum):
    """A feed format, by the extension of its address."""

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
    """The name of the format."""
    title: str
    """The title of the feed."""
    media_type: str
    href: str


@dataclass(frozen=True, slots=True)
class FeedEntry:
    """An article in a feed."""

    id: str
    """A URN that stays the same when title and address change."""
    url: str
    canonical: str | None
    """The address of the original, if it is on another site."""
    title: str
    summary: str
    body: str | None
    """Sanitised HTML, if feeds contain full articles."""
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
        """The authors; the publisher if none is named."""
        return self.authors or [Author(name=self.publisher)]


@dataclass(frozen=True, slots=True)
class Feed:
    """The newest articles of one search; all addresses are absolute."""

    title: str
    home: str
    """The page that shows the same articles."""
    address: str
    """The feed's own address."""
    entries: Sequence[FeedEntry]
    hub: str | None = None
    """The WebSub hub that pushes it."""

    @property
    def updated(self) -> datetime | None:
        """When the last of its entries was updated."""
        return max((entry.updated for entry in self.entries), default=None)

    @property
    def language(self) -> str | None:
        """The language of all entries, or None if they differ."""
        languages = {entry.language for entry in self.entries}
        return languages.pop() if len(languages) == 1 else None


def feed_entry(article: Mapping[str, Any], *, full: bool) -> FeedEntry:
    """Return an article as an entry, with its body if ``full``."""
    published, updated = (datetime.fromisoformat(article[name]) for name in ("published_at", "updated_at"))
    category, image = article.get("category"), article.get("image")
    canonical = article.get("canonical_url")
    return FeedEntry(
        id=f"urn:newswire:article:{article['id']}",
        url=article["url"],
        canonical=_percent_encoded(canonical) if canonical and canonical != article["url"] else None,
        title=article["title"],
        summary=article.get("summary") or _beginning(article.get("text", "")),
        body=article.get("body") if full else None,
        authors=[
            Author(name=author["name"], url=_percent_encoded(author.get("url")))
            for author in article.get("authors", [])
        ],
        publisher=article["publisher"],
        tags=[*([category] if category else []), *article.get("topics", [])],
        language=known_language(article),
        image=Image.model_validate({**image, "url": _percent_encoded(image["url"])}) if image else None,
        published=published,
        updated=max(published, updated),
    )


def _beginning(text: str) -> str:
    """Return the first words of a text, or its first characters if it has no spaces."""
    line = " ".join(text[:USUAL_SUMMARY_SOURCE_CHARACTERS].split())  # cut first: a text may have a million characters
    if len(line) <= SUMMARY_CHARACTERS:  # it ends there, or has much space
        line = " ".join(text[:MAX_SUMMARY_SOURCE_CHARACTERS].split())
    if len(line) <= SUMMARY_CHARACTERS:
        return line
    room = SUMMARY_CHARACTERS - len(" …")
    return (line[: room + 1].rpartition(" ")[0] or line[:room]) + " …"


def _percent_encoded(url: str | None) -> str | None:
    """Percent-encode the characters of a URL that are invalid in one; publishers may send any."""
    return url and _INVALID_IN_URLS.sub(lambda found: quote(found[0]), url)


def feed_links(pairs: QueryPairs, site_name: str, latest: str = LATEST) -> list[FeedLink]:
    """Return links to the feed of a search, one for each format."""
    title = feed_title(filter_pairs(pairs), site_name, latest)
    return [FeedLink(NAMES[form], title, MEDIA_TYPES[form], feed_address(pairs, form)) for form in Format]


def page_path(pairs: QueryPairs) -> str:
    """Return the path of the page that shows the articles of a feed."""
    if len(pairs) == 1 and not pairs[0][1].startswith("-"):
        return label_path(*pairs[0])
    return search_path(pairs) if pairs else "/"


def feed_title(pairs: QueryPairs, site_name: str, latest: str = LATEST) -> str:
    """Return the title of the feed of a search; ``latest`` is that of all articles."""
    return f"{site_name}: {', '.join(_describe(name, value) for name, value in pairs) or latest}"


def _describe(name: str, value: str) -> str:
    if name in ("from", "to"):
        return f"{name} {value}"
    return f"not {value[1:]}" if name != "q" and value.startswith("-") else value
