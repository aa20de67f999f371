"""Problem responses for articles that cannot be written."""

from datetime import datetime

from newswire.article import ArticleDraft
from newswire.http.problems import FieldError, ProblemError, invalid, problem, unavailable


def has_invalid_embargo(draft: ArticleDraft, now: datetime) -> bool:
    """Return whether a past embargo is not confirmed by ``embargo_lifted``, or a future one is."""
    lies_ahead = draft.embargo_until is not None and draft.embargo_until > now
    return draft.has_unconfirmed_past_embargo(now) or (draft.embargo_lifted and lies_ahead)


def invalid_embargo(draft: ArticleDraft) -> ProblemError:
    """Return the problem of an embargo that contradicts the request (422)."""
    if draft.embargo_lifted:
        fix = "omit 'embargo_lifted' to publish when the embargo ends, or 'embargo_until' to publish now"
        return invalid("embargo_lifted", "is true, but 'embargo_until' is in the future", fix)
    what = "is in the past, so the article would be published immediately"
    fix = "correct it; if the embargo is over, omit it, or send 'embargo_lifted': true with it"
    return invalid("embargo_until", what, fix)


def embargo_passed(draft: ArticleDraft, now: datetime) -> bool:
    """Return whether an embargo has passed without ``embargo_lifted``."""
    return draft.embargo_until is not None and draft.embargo_until <= now and not draft.embargo_lifted


def held() -> ProblemError:
    """Return the problem of a change that would publish a held article without saying so (422)."""
    what = "passed while the account was disabled, so the article is held and would now be published late"
    fix = "send a time in the future, or publish now: null in a PATCH, no 'embargo_until' in a PUT"
    return invalid("embargo_until", what, fix)


def retracted(fix: str) -> ProblemError:
    """Return the problem of a retracted article (409)."""
    return problem(409, "retracted", f"the article was retracted: {fix}", title="Retracted")


def republished(article_id: str, status: str) -> ProblemError:
    """Return the problem of a repeated retraction of an article that has been published again (409)."""
    what = f"belongs to a request that retracted article {article_id}; it has been published again, and is {status}"
    error = FieldError("Idempotency-Key", what, "to retract it again, send DELETE with a new key")
    return problem(409, "republished", f"Idempotency-Key: {what}", title="Published again", errors=[error])


def taken_down() -> ProblemError:
    """Return the problem of an article that an operator retracted (409)."""
    detail = "an operator retracted this article; it cannot be published again until an operator releases it"
    return problem(409, "retracted-by-operator", detail, title="Retracted by an operator")


def busy() -> ProblemError:
    """Return the problem of an article that concurrent requests keep changing (503)."""
    return unavailable("other requests keep changing the article; repeat the request")


def key_mismatch() -> ProblemError:
    """Return the problem of an `Idempotency-Key` that was used with other content (422)."""
    return invalid(
        "Idempotency-Key",
        "was used with other content within the last 24 hours",
        "send the same content again to repeat that request, or a new key for new content",
    )


def was_cancelled(article_id: str) -> ProblemError:
    """Return the problem of a repeated request whose article was cancelled (410)."""
    what = f"belongs to a request whose article {article_id} was scheduled, and has been cancelled"
    error = FieldError("Idempotency-Key", what, "send a new key to create the article again")
    return problem(410, "cancelled", f"Idempotency-Key: {what}", title="Cancelled", errors=[error])


def external_taken(url: str) -> ProblemError:
    """Return the problem of an external id that another article has (409)."""
    what = f"already belongs to {url}, which was created with other content"
    fix = f"change that article with PUT {url}, or send another external_id"
    error = FieldError("external_id", what, fix)
    detail = f"external_id: {what}"
    return problem(409, "external-id-taken", detail, title="Already published", errors=[error], extra={"article": url})
