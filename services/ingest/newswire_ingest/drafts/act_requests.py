"""What people and programs ask for with an act, and the article that it makes of a draft."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson

from newswire.article import ArticleDraft
from newswire.timestamps import rfc3339
from newswire_ingest.articles.article_reader import StoredArticle
from newswire_ingest.articles.errors import InvalidMemberError
from newswire_ingest.drafts.content import DraftContent, article_draft, due_instructions
from newswire_ingest.drafts.models import DraftAct, DraftActor


@dataclass(frozen=True, slots=True)
class PublicationTime:
    """When a draft is to be published: ``zone`` and ``local`` as the person chose them.

    ``past_is_meant``: at once, if the time has passed.
    """

    utc: datetime
    zone: str | None = None
    local: str | None = None
    past_is_meant: bool = False


@dataclass(frozen=True, slots=True)
class ActRequest:
    """An act that someone asks for, with the revision of the draft that the person saw."""

    act: DraftAct
    revision: int
    actor: DraftActor
    article_revision: str | None = None
    """The state of the article that the person saw; by default the one that the text started from."""
    at: PublicationTime | None = None
    """When to publish, for `DraftAct.SCHEDULE`; by default when the article is scheduled already."""
    correction_note: str | None = None
    """What was wrong, for `DraftAct.CORRECT`; by default as the draft says."""

    @property
    def parameters(self) -> tuple[Any, ...]:
        """What the act is asked for besides the text: with other parameters, it is another act."""
        note = (self.correction_note,) if self.act is DraftAct.CORRECT else ()
        return note if self.at is None else (*note, self.at.utc.isoformat(), str(self.at.past_is_meant))


def article_of_act(
    request: ActRequest, content: DraftContent, article: StoredArticle | None, now: datetime
) -> ArticleDraft:
    """Return the article that an act makes of the text of a draft. ``article``: the present one, if there is one.

    Raises:
        newswire_ingest.articles.errors.InvalidMemberError: the time has passed, and its caller did not say that this is meant; or
            a correction has no note.
    """
    match request.act:
        case DraftAct.SCHEDULE:
            due = request.at.utc if request.at else _present_time(article)
            if due <= now and not (request.at and request.at.past_is_meant):
                raise InvalidMemberError(
                    "at",
                    f"has passed: it is {rfc3339(due)}, and the article would be published at once",
                    "send a later time, or 'past_is_meant': true to publish now",
                )
            return article_draft(content, correction_note=None, **due_instructions(due, lifted=due <= now))
        case DraftAct.UPDATE:  # a note that the article has stays
            present = orjson.loads(article.document) if article and article.document else {}
            return article_draft(content, correction_note=present.get("correction_note"))
        case DraftAct.CORRECT:
            note = request.correction_note or content.correction_note
            if not note or not note.strip():
                raise InvalidMemberError("correction_note", "is missing", "say what was wrong, and what is right")
            return article_draft(content, correction_note=note)
        case _:
            return article_draft(content, correction_note=None)


def _present_time(article: StoredArticle | None) -> datetime:
    due = article.state.embargo_until if article else None
    if due is None:
        raise InvalidMemberError("at", "is missing", "send the time at which it is to be published")
    return datetime.fromisoformat(due)
