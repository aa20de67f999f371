"""The problem document of every error of drafts."""

from newswire.http.problem_handlers import ProblemMakers
from newswire.http.problems import FieldError, ProblemError, not_found, problem, too_large
from newswire.preconditions import etag
from newswire_ingest.drafts.errors import (
    ArticleChangedError,
    DraftConflictError,
    DraftDiscardedError,
    DraftNotDiscardedError,
    DraftNotFoundError,
    DraftTooLargeError,
    TooManyDraftsError,
    WrongActError,
)
from newswire_ingest.drafts.schemas import draft_document


def _conflict(error: DraftConflictError) -> ProblemError:
    fix = f"compare both texts, and send the one that is meant with If-Match: {etag(str(error.current.revision))}"
    extra = {"draft": draft_document(error.current), "kept_revision": error.kept_revision}
    errors = [FieldError("If-Match", f"failed: {error}", fix)]
    return problem(412, "draft-changed", str(error), title="The draft was changed", errors=errors, extra=extra)


def _article_changed(error: ArticleChangedError) -> ProblemError:
    fix = f"compare both, and send 'article_revision': \"{error.article_revision}\" if the draft is to replace the article"
    extra = {
        "draft": draft_document(error.draft),
        "article": error.article,
        "article_revision": error.article_revision,
    }
    errors = [FieldError("article_revision", f"failed: {error}", fix)]
    return problem(412, "article-changed", str(error), title="The article was changed", errors=errors, extra=extra)


def _wrong_act(error: WrongActError) -> ProblemError:
    return problem(409, "wrong-act", str(error), title="Another act applies", extra={"applies": list(error.applies)})


PROBLEMS: ProblemMakers = {
    DraftNotFoundError: lambda error: not_found(error.what),
    DraftConflictError: _conflict,
    ArticleChangedError: _article_changed,
    WrongActError: _wrong_act,
    DraftDiscardedError: lambda error: problem(409, "draft-discarded", str(error), title="Discarded"),
    DraftNotDiscardedError: lambda error: problem(409, "draft-not-discarded", str(error), title="Not discarded"),
    TooManyDraftsError: lambda error: problem(409, "too-many-drafts", str(error), title="Too many drafts"),
    DraftTooLargeError: lambda error: too_large(error.limit),
}
