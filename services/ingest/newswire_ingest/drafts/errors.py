"""Why something with a draft is refused. `newswire_ingest.drafts.problem_handlers` answers each as a problem document."""

from typing import Any

from newswire_ingest.drafts.models import Draft, DraftAct


class DraftError(Exception):
    """It is refused, and neither the draft nor an article was changed. The message says why."""


class DraftNotFoundError(DraftError):
    """The account has no such draft, or no such revision of it."""

    def __init__(self, what: str = "draft of yours") -> None:
        super().__init__(f"there is no such {what}")
        self.what = what


class DraftConflictError(DraftError):
    """The draft has another text than the one that the request is based on.

    ``kept_revision`` is the revision under which the text of the request was kept; None if it had none.
    """

    def __init__(self, current: Draft, kept_revision: int | None = None) -> None:
        super().__init__(f"{current.updated_by.name} changed the draft: it is at revision {current.revision} now")
        self.current = current
        self.kept_revision = kept_revision


class ArticleChangedError(DraftError):
    """The article was changed by other means since the text of the draft started from it."""

    def __init__(self, draft: Draft, article: dict[str, Any], article_revision: str) -> None:
        super().__init__(f"the article was changed meanwhile: it is in state {article_revision} now")
        self.draft = draft
        self.article = article
        self.article_revision = article_revision


class WrongActError(DraftError):
    """The act does not apply to the article as it is now; ``applies`` are those that do."""

    def __init__(self, act: DraftAct, applies: tuple[DraftAct, ...], status: str | None) -> None:
        found = f"the article is {status} already" if status else "there is no article yet"
        super().__init__(f"cannot {act}: {found}; use {' or '.join(applies)}")
        self.act = act
        self.applies = applies


class DraftDiscardedError(DraftError):
    """The draft is discarded."""

    def __init__(self) -> None:
        super().__init__("the draft is discarded; recover it first")


class DraftNotDiscardedError(DraftError):
    """The draft is not discarded, so it cannot be erased."""

    def __init__(self) -> None:
        super().__init__("only a discarded draft can be erased; discard it first")


class TooManyDraftsError(DraftError):
    """The account has as many drafts, or as much text in drafts, as it may have."""


class DraftTooLargeError(DraftError):
    """The text is larger than a draft may be."""

    def __init__(self, limit: int) -> None:
        super().__init__(f"the text is larger than {limit:,} bytes")
        self.limit = limit
