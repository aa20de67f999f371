"""The problem document of every domain error of ingest."""

import logging

from newswire.article import ArticleDraft
from newswire.http.problem_handlers import ProblemMakers
from newswire.http.problems import (
    FieldError,
    ProblemError,
    from_validation_error,
    invalid,
    malformed,
    not_found,
    problem,
    too_large,
    unauthorised,
    unavailable,
)
from newswire.http.rate_limits import limit_headers, rate_limited
from newswire.object_storage.storage import StorageError
from newswire_ingest.articles.errors import (
    ArticleBusyError,
    ArticleCancelledError,
    ArticleNotFoundError,
    ExternalIdTakenError,
    InvalidDraftError,
    InvalidMemberError,
    KeyRevokedError,
    OlderVersionError,
    RepublishedError,
    RetractedError,
    TakenDownError,
)
from newswire_ingest.content.markup_limits import MarkupLimitError
from newswire_ingest.drafts.problem_handlers import PROBLEMS as DRAFT_PROBLEMS
from newswire_ingest.imports.errors import (
    EmptyImportFileError,
    ImportBusyError,
    ImportFileTooLargeError,
    ImportNotFoundError,
    ImportStateError,
    TooManyImportsError,
)
from newswire_ingest.limits.errors import QuotaExceededError, RateExceededError, StoreFullError
from newswire_ingest.media.errors import (
    InvalidImageError,
    MediaBusyError,
    MediaInUseError,
    MediaNotFoundError,
    MediaSpaceError,
    UploadTooLargeError,
)

log = logging.getLogger(__name__)

RETRY_STORAGE_SECONDS = 10


def _invalid_member(error: InvalidMemberError) -> ProblemError:
    return invalid(error.member, error.problem, error.fix)


def _retracted(error: RetractedError) -> ProblemError:
    return problem(409, "retracted", str(error), title="Retracted")


def _taken_down(error: TakenDownError) -> ProblemError:
    return problem(409, "retracted-by-operator", str(error), title="Retracted by an operator")


def _republished(error: RepublishedError) -> ProblemError:
    errors = [FieldError("Idempotency-Key", error.problem, error.fix)]
    return problem(409, "republished", str(error), title="Published again", errors=errors)


def _cancelled(error: ArticleCancelledError) -> ProblemError:
    errors = [FieldError("Idempotency-Key", error.problem, error.fix)]
    return problem(410, "cancelled", str(error), title="Cancelled", errors=errors)


def _external_id_taken(error: ExternalIdTakenError) -> ProblemError:
    fix = f"change that article with PUT {error.url}, or send another external_id"
    errors = [FieldError("external_id", error.problem, fix)]
    extra = {"article": error.url}
    return problem(409, "external-id-taken", str(error), title="Already published", errors=errors, extra=extra)


def _older_version(error: OlderVersionError) -> ProblemError:
    fix = "send the current content of your system, with its version"
    errors = [FieldError("source_version", error.problem, fix)]
    return problem(409, "older-version", str(error), title="Older version", errors=errors)


def _rate_exceeded(error: RateExceededError) -> ProblemError:
    return rate_limited(error.policy, str(error), error.seconds, limit_headers(error.standings))


def _quota_exceeded(error: QuotaExceededError) -> ProblemError:
    headers = {"Retry-After": str(error.seconds)}
    extra = {"violated-policies": [error.policy.name], "resets_at": error.resets_at}
    return problem(429, "quota-exceeded", str(error), title="Daily quota used up", headers=headers, extra=extra)


def _media_in_use(error: MediaInUseError) -> ProblemError:
    return problem(409, "media-in-use", str(error), title="Image in use")


def _storage_unavailable(error: StorageError) -> ProblemError:
    log.error("images cannot be stored or read", extra={"reason": str(error)})
    return unavailable(
        "images cannot be stored or read at the moment; try again later", retry_after=RETRY_STORAGE_SECONDS
    )


PROBLEMS: ProblemMakers = {
    InvalidMemberError: _invalid_member,
    InvalidDraftError: lambda error: from_validation_error(error.cause, ArticleDraft),
    MarkupLimitError: lambda error: invalid("body", error.problem, error.fix),
    ArticleNotFoundError: lambda error: not_found(error.what),
    ArticleBusyError: lambda error: unavailable(str(error)),
    KeyRevokedError: lambda error: unauthorised(str(error)),
    RetractedError: _retracted,
    TakenDownError: _taken_down,
    RepublishedError: _republished,
    ArticleCancelledError: _cancelled,
    ExternalIdTakenError: _external_id_taken,
    OlderVersionError: _older_version,
    StoreFullError: lambda error: unavailable(str(error), retry_after=error.retry_after_seconds),
    RateExceededError: _rate_exceeded,
    QuotaExceededError: _quota_exceeded,
    **DRAFT_PROBLEMS,
    InvalidImageError: lambda error: invalid("file", error.problem, error.fix),
    UploadTooLargeError: lambda error: too_large(error.limit),
    MediaBusyError: lambda error: unavailable(str(error), retry_after=2),
    MediaNotFoundError: lambda _: not_found("image of your account"),
    MediaInUseError: _media_in_use,
    MediaSpaceError: lambda error: problem(409, "media-space-used-up", str(error), title="No space for images left"),
    StorageError: _storage_unavailable,
    ImportNotFoundError: lambda _: not_found("import of your account"),
    ImportStateError: lambda error: problem(409, "import-state", str(error), title="Not possible now"),
    TooManyImportsError: lambda error: problem(409, "too-many-imports", str(error), title="Too many imports"),
    ImportFileTooLargeError: lambda error: too_large(error.limit),
    EmptyImportFileError: lambda _: malformed("file", "is missing or empty", "choose a file"),
    ImportBusyError: lambda error: unavailable(str(error), retry_after=2),
}
