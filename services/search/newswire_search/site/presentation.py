"""Articles as templates show them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from markupsafe import Markup

from newswire.article import Author
from newswire.text.direction import Direction, direction_of
from newswire_search.site.images import PageImage, page_image
from newswire_search.site.links import path_of
from newswire_search.site.localisation import language_of

CARD_SUMMARY_CHARACTERS = 280
"""Of a summary in a list; the article shows all of it."""


@dataclass(frozen=True, slots=True)
class Teaser:
    """An article in a list, and the head of its page."""

    id: str
    path: str
    title: str
    marked_title: Markup | str
    """The title with the words of a search marked."""
    summary: str
    """May be empty."""
    passages: Sequence[Markup]
    """Where the words of a search are; already escaped."""
    authors: Sequence[Author]
    publisher: str
    category: str | None
    topics: Sequence[str]
    image: PageImage | None
    published: datetime
    updated: datetime | None
    """When the article was changed, if it was."""
    correction_note: str | None
    reading_minutes: int
    urgency: int
    """1 is the most urgent, 5 the default, 9 the least urgent."""
    canonical: str
    lang: str
    dir: Direction


def teaser(article: Mapping[str, Any], highlights: Mapping[str, Sequence[str]] | None = None) -> Teaser:
    """Return an article of the index as templates show it."""
    published, updated = (
        datetime.fromisoformat(article[name]).astimezone(UTC) for name in ("published_at", "updated_at")
    )
    title_marks, passages = (highlights or {}).get("title"), (highlights or {}).get("body", ())
    language = language_of(article)
    return Teaser(
        id=article["id"],
        path=path_of(article),
        title=article["title"],
        marked_title=Markup(title_marks[0]) if title_marks else article["title"],  # noqa: S704 (escaped but for its marks)
        summary=shortened(article.get("summary") or "", CARD_SUMMARY_CHARACTERS),
        passages=[Markup(passage) for passage in passages],  # noqa: S704 (likewise)
        authors=[Author.model_validate(author) for author in article.get("authors") or []],
        publisher=article["publisher"],
        category=article.get("category"),
        topics=article.get("topics") or [],
        image=page_image(article),
        published=published,
        updated=updated if article["version"] > 1 and updated > published else None,
        correction_note=article.get("correction_note"),
        reading_minutes=article.get("reading_minutes") or 0,
        urgency=article.get("urgency") or 5,
        canonical=article.get("canonical_url") or article["url"],
        lang=language,
        dir=direction_of(language),
    )


def shortened(text: str, characters: int) -> str:
    """Return the beginning of a text that is longer than so many characters, cut at a word."""
    if len(text) <= characters:
        return text
    cut = text[:characters]
    return (cut.rpartition(" ")[0] or cut).rstrip(" ,;:") + " …"
