"""Why a command about an article is refused. `newswire_ingest.problem_handlers` answers each as a problem document."""

from pydantic import ValidationError


class ArticleError(Exception):
    """A command is refused, and nothing was written. The message says why."""


class InvalidMemberError(ArticleError):
    """A member of the request is wrong: which, why, and how to correct it."""

    def __init__(self, member: str, problem: str, fix: str) -> None:
        super().__init__(f"{member}: {problem}")
        self.member = member
        self.problem = problem
        self.fix = fix


class InvalidDraftError(ArticleError):
    """The members that a request would give an article are not valid."""

    def __init__(self, cause: ValidationError) -> None:
        super().__init__(str(cause))
        self.cause = cause


class ArticleNotFoundError(ArticleError):
    """There is no such article, or it is not visible to the caller."""

    def __init__(self, what: str = "article of yours") -> None:
        super().__init__(f"there is no such {what}")
        self.what = what


class ArticleBusyError(ArticleError):
    """The article is being changed; the request may be sent again."""

    def __init__(self, detail: str = "other requests keep changing the article; repeat the request") -> None:
        super().__init__(detail)


class KeyRevokedError(ArticleError):
    """The key was revoked, or its account disabled, while the request was handled."""

    def __init__(self) -> None:
        super().__init__("the API key is revoked or expired")


class RetractedError(ArticleError):
    """The article is retracted."""

    def __init__(self, fix: str) -> None:
        super().__init__(f"the article was retracted: {fix}")


class TakenDownError(ArticleError):
    """An operator retracted the article."""

    def __init__(self) -> None:
        super().__init__(
            "an operator retracted this article; it cannot be published again until an operator releases it"
        )


class RepeatError(ArticleError):
    """The ``Idempotency-Key`` belongs to a request that cannot be repeated."""

    def __init__(self, problem: str, fix: str) -> None:
        super().__init__(f"Idempotency-Key: {problem}")
        self.problem = problem
        self.fix = fix


class RepublishedError(RepeatError):
    """The article that the request withdrew is published again."""

    def __init__(self, article_id: str, status: str) -> None:
        super().__init__(
            f"belongs to a request that retracted article {article_id}; it has been published again, and is {status}",
            "to retract it again, send DELETE with a new key",
        )


class ArticleCancelledError(RepeatError):
    """The article that the request created is cancelled."""

    def __init__(self, article_id: str) -> None:
        super().__init__(
            f"belongs to a request whose article {article_id} was scheduled, and has been cancelled",
            "send a new key to create the article again",
        )


class ExternalIdTakenError(ArticleError):
    """The external id belongs to another article."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.problem = f"already belongs to {url}, which was created with other content"
        super().__init__(f"external_id: {self.problem}")


class OlderVersionError(ArticleError):
    """The publisher's system sent an older version than the one that is stored."""

    def __init__(self, sent: int, stored: int) -> None:
        self.problem = f"{sent} is older than the stored {stored}"
        super().__init__(f"source_version: {self.problem}")


def key_mismatch() -> InvalidMemberError:
    """Return the error for an ``Idempotency-Key`` that was used with other content."""
    return InvalidMemberError(
        "Idempotency-Key",
        "was used with other content within the last 24 hours",
        "send the same content again to repeat that request, or a new key for new content",
    )
