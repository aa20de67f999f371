"""The rules of embargoes: a past one has to be confirmed by ``embargo_lifted``."""

from datetime import datetime

from newswire.article import ArticleDraft
from newswire_ingest.articles.errors import InvalidMemberError


def has_invalid_embargo(draft: ArticleDraft, now: datetime) -> bool:
    """Return whether a past embargo is not confirmed by ``embargo_lifted``, or a future one is."""
    lies_ahead = draft.embargo_until is not None and draft.embargo_until > now
    return draft.has_unconfirmed_past_embargo(now) or (draft.embargo_lifted and lies_ahead)


def invalid_embargo(draft: ArticleDraft) -> InvalidMemberError:
    """Return the error for an embargo that contradicts the request."""
    if draft.embargo_lifted:
        fix = "omit 'embargo_lifted' to publish when the embargo ends, or 'embargo_until' to publish now"
        return InvalidMemberError("embargo_lifted", "is true, but 'embargo_until' is in the future", fix)
    what = "is in the past, so the article would be published immediately"
    fix = "correct it; if the embargo is over, omit it, or send 'embargo_lifted': true with it"
    return InvalidMemberError("embargo_until", what, fix)


def embargo_passed(draft: ArticleDraft, now: datetime) -> bool:
    """Return whether an embargo has passed without ``embargo_lifted``."""
    return draft.embargo_until is not None and draft.embargo_until <= now and not draft.embargo_lifted


def held() -> InvalidMemberError:
    """Return the error for a change that would publish a held article without saying so."""
    what = "passed while the account was disabled, so the article is held and would now be published late"
    fix = "send a time in the future, or publish now: null in a PATCH, no 'embargo_until' in a PUT"
    return InvalidMemberError("embargo_until", what, fix)
