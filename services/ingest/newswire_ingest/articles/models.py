"""The models of the application layer: a command, an article as stored, and the result of a command."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Literal

from newswire.auth.credentials import Caller
from newswire.observability.audit import SYSTEM, Actor
from newswire.preconditions import UNCONDITIONAL, Preconditions
from newswire_ingest.articles.article_reader import StoredArticle
from newswire_ingest.articles.publishing import Version
from newswire_ingest.articles.write_context import IdempotencyScope, WriteContext

PATH = "/v1/articles"

Effect = Literal["created", "updated", "unchanged"]
"""The effect of a request on its article."""


@dataclass(frozen=True, slots=True)
class WriteCommand:
    """A request to write: the caller, the preconditions, and how a repeat of the request is recognised."""

    caller: Caller
    fingerprint: str
    trace: str
    idempotency: IdempotencyScope | None = None
    conditions: Preconditions = UNCONDITIONAL
    article_id: str | None = None
    """The id of the article that it creates, if the caller reserved one: a second attempt creates no second article."""
    write_token: str | None = None
    """Marks the version that it writes, so that the caller recognises it later; by default a new one."""
    actor: Actor = SYSTEM
    """Who sent it, for the audit log, which records what withdraws articles."""

    def context(self, now: datetime) -> WriteContext:
        """Return the context that the store needs."""
        return WriteContext(self.caller, now, self.fingerprint, self.idempotency)

    def marked(self, version: Version) -> Version:
        """Return a version with the write token of this command, if it has its own."""
        return replace(version, write_token=self.write_token) if self.write_token else version


Find = Callable[[Caller], Awaitable[StoredArticle]]
"""Finds the caller's article that a request refers to."""


@dataclass(frozen=True, slots=True)
class WriteResult:
    """The result of a command: the article as it is now."""

    article_id: str
    revision_tag: str
    view: dict[str, Any]
    effect: Effect = "unchanged"

    @property
    def created(self) -> bool:
        """Whether the request created the article."""
        return self.effect == "created"


@dataclass(frozen=True, slots=True)
class WritePlan:
    """What a request would do to its article: the version that it would write after the current state."""

    effect: Effect
    version: Version
    found: StoredArticle | None
