"""What the list of the desk shows: drafts that are being written, and articles by status."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from newswire.article import Status
from newswire.http.problems import invalid
from newswire.text.folding import fold
from newswire_ingest.articles.publishing import is_article_id
from newswire_ingest.articles.repository import ArticleStore
from newswire_ingest.articles.results import listed_view
from newswire_ingest.drafts.models import DraftState, DraftSummary
from newswire_ingest.drafts.selection import DraftSelection
from newswire_ingest.drafts.service import DraftService

PAGE = 30
READ_BATCH_SIZE = 10
"""Documents in memory at a time: each may be some MiB."""
MAX_SCANNED = 300
"""Articles read for one page; a list that selects few of them continues with the next page."""
TABS = ("drafts", "scheduled", "published", "retracted", "discarded")
_STATUSES = {"scheduled": Status.SCHEDULED, "published": Status.PUBLISHED, "retracted": Status.RETRACTED}


@dataclass(frozen=True, slots=True)
class Selection:
    """What a list is to contain: a tab, and filters of it."""

    tab: str = "drafts"
    text: str = ""
    author: str = ""
    section: str = ""

    def query(self) -> dict[str, str]:
        """Return the parameters of an address that selects this."""
        found = {"show": self.tab, "text": self.text, "author": self.author, "section": self.section}
        return {name: value for name, value in found.items() if value}


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of a list. Either a draft or an article; an article without a title is retracted, or ``away``."""

    title: str
    at: datetime | str
    by: str
    section: str
    draft: str | None = None
    article: str | None = None
    held: bool = False
    live: bool = False
    """A draft whose article is published already."""
    away: bool = False
    """A published article whose text is in the archive, which cannot be read now."""


@dataclass(frozen=True, slots=True)
class ListPage:
    """One page of a list, and the cursor of the next."""

    entries: list[Entry]
    next_cursor: str | None


def selection_of(params: Mapping[str, str]) -> Selection:
    """Read the parameters of an address; unknown tabs are the first one."""
    tab = params.get("show", TABS[0])
    found = {name: params.get(name, "").strip()[:200] for name in ("text", "author", "section")}
    return Selection(tab if tab in TABS else TABS[0], **found)


async def read_page(
    drafts: DraftService, store: ArticleStore, account: str, chosen: Selection, cursor: str | None
) -> ListPage:
    """Return a page of a list."""
    if chosen.tab in _STATUSES:
        return await _articles(store, account, chosen, cursor)
    state = DraftState.OPEN if chosen.tab == "drafts" else DraftState.DISCARDED
    wanted = DraftSelection(state=state, text=chosen.text or None)
    try:
        page = await drafts.editing.list(account, wanted, cursor=cursor, limit=PAGE)
    except ValueError:
        raise invalid("cursor", "is none of this list", "open the list again") from None
    return ListPage([_of_draft(each) for each in page.drafts if _is_by(each, chosen.author)], page.next_cursor)


async def _articles(store: ArticleStore, account: str, chosen: Selection, cursor: str | None) -> ListPage:
    if cursor is not None and not is_article_id(cursor):
        raise invalid("cursor", "is none of this list", "open the list again")
    entries: list[Entry] = []
    scanned, last = 0, cursor
    while scanned < MAX_SCANNED and len(entries) < PAGE:
        ids = await store.list_articles(account, [_STATUSES[chosen.tab]], last, READ_BATCH_SIZE)
        if not ids:
            return ListPage(entries, None)
        found = [listed_view(each) for each in await store.find_all(ids)]
        entries += [_of_article(article) for article in found if _is_chosen(article, chosen)]
        scanned, last = scanned + len(ids), ids[-1]
    return ListPage(entries, last)


def _is_by(draft: DraftSummary, author: str) -> bool:
    names = (draft.created_by.name, draft.updated_by.name)
    return not author or any(fold(author) in fold(name) for name in names)


def _is_chosen(article: Mapping[str, Any], chosen: Selection) -> bool:
    authors = " ".join(author["name"] for author in article.get("authors", []))
    words = fold(chosen.text).split()
    return (
        all(word in fold(article.get("title", "")) for word in words)
        and fold(chosen.author) in fold(authors)
        and (not chosen.section or fold(chosen.section) == fold(article.get("category") or ""))
    )


def _of_draft(draft: DraftSummary) -> Entry:
    live = draft.article is not None and draft.article.status is Status.PUBLISHED
    return Entry(draft.title, draft.updated_at, draft.updated_by.name, "", draft=draft.id, live=live)


def _of_article(article: Mapping[str, Any]) -> Entry:
    at = article.get("embargo_until") or article.get("retracted_at") or article.get("updated_at", "")
    return Entry(
        article.get("title", ""),
        at,
        ", ".join(author["name"] for author in article.get("authors", [])),
        article.get("category") or "",
        article=article["id"],
        held=bool(article.get("held")),
        away=article["status"] == Status.PUBLISHED.value and "title" not in article,
    )
