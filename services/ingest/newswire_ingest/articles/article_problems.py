"""What publishers are told where an article cannot be written as they ask."""

from datetime import datetime

from newswire.article import ArticleDraft
from newswire.http.problems import FieldError, ProblemError, invalid, problem, unavailable


def embargo_is_wrong(draft: ArticleDraft, now: datetime) -> bool:
    """Tell whether an embargo is over that nobody said was, or is said to be over and lies ahead."""
    lies_ahead = draft.embargo_until is not None and draft.embargo_until > now
    return draft.has_unconfirmed_past_embargo(now) or (draft.embargo_lifted and lies_ahead)


def wrong_embargo(draft: ArticleDraft) -> ProblemError:
    """Say that an embargo contradicts what is to be done (422)."""
    if draft.embargo_lifted:
        fix = "leave 'embargo_lifted' out to publish when the embargo ends, or 'embargo_until' to publish now"
        return invalid("embargo_lifted", "is true, but 'embargo_until' lies ahead", fix)
    what = "lies in the past, so the article would be published at once"
    fix = "correct it; if the embargo is over, leave it out, or send 'embargo_lifted': true with it"
    return invalid("embargo_until", what, fix)


def embargo_passed(draft: ArticleDraft, now: datetime) -> bool:
    """Return whether an embargo is over without being said to be."""
    return draft.embargo_until is not None and draft.embargo_until <= now and not draft.embargo_lifted


def held() -> ProblemError:
    """Say that a scheduled article that is held would be published by a change that does not say so (422)."""
    what = "passed while the account was disabled, so the article is held and would now be published late"
    fix = "send a time that lies ahead, or publish now: null in a PATCH, no 'embargo_until' in a PUT"
    return invalid("embargo_until", what, fix)


def retracted(fix: str) -> ProblemError:
    """Say that the article was retracted (409)."""
    return problem(409, "retracted", f"the article was retracted: {fix}", title="Retracted")


def republished(article_id: str, status: str) -> ProblemError:
    """Say that what a request withdrew is there again (409)."""
    what = f"belongs to a request that retracted article {article_id}; it was published again since, and is {status}"
    error = FieldError("Idempotency-Key", what, "to retract it once more, send DELETE with a fresh key")
    return problem(409, "republished", f"Idempotency-Key: {what}", title="Published again", errors=[error])


def taken_down() -> ProblemError:
    """Say that an operator retracted the article (409)."""
    detail = "an operator retracted this article; it cannot be published again before an operator releases it"
    return problem(409, "retracted-by-operator", detail, title="Retracted by an operator")


def busy() -> ProblemError:
    """Say that others change the article all the time (503)."""
    return unavailable("the article is being changed by others all the time; send the request again")


def key_mismatch() -> ProblemError:
    """Say that an `Idempotency-Key` came with other content before (422)."""
    return invalid(
        "Idempotency-Key",
        "was used with other content within the last 24 hours",
        "send the same content again to repeat that request, or a fresh key for new content",
    )


def was_cancelled(article_id: str) -> ProblemError:
    """Say that what a request created was cancelled since (410)."""
    what = f"belongs to a request whose article {article_id} was scheduled, and cancelled since"
    error = FieldError("Idempotency-Key", what, "send a fresh key to create the article anew")
    return problem(410, "cancelled", f"Idempotency-Key: {what}", title="Cancelled", errors=[error])


def external_taken(url: str) -> ProblemError:
    """Say that an external id belongs to another article (409)."""
    what = f"belongs already to {url}, which was created with other content"
    fix = f"change that article with PUT {url}, or send another external_id"
    error = FieldError("external_id", what, fix)
    detail = f"external_id: {what}"
    return problem(409, "external-id-taken", detail, title="Already published", errors=[error], extra={"article": url})
