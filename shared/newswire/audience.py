"""Who would be notified of an article: what ingest asks before an act, and what notify replies.

Nothing is stored: a request that no process of notify listens to is gone, and so is a reply that comes too late.
"""

from typing import Annotated

from pydantic import BaseModel, Field

from newswire.events import ArticlePublished
from newswire.keys import Keyspace

DEADLINE_SECONDS = 2.0
"""How long a reply is waited for."""
MAX_REQUEST_BYTES = 4 * 1024 * 1024
"""Twice what the largest article needs."""

Count = Annotated[int, Field(ge=0)]


class AudienceRequest(BaseModel):
    """Who would be notified if a version were published; without one, if the article were retracted."""

    article_id: str
    version: ArticlePublished | None = None


class MailCounts(BaseModel):
    """How many readers would get a mail, by when they get it. ``is_upper_limit``: there are too many to ask each for its topics."""

    instant: Count = 0
    daily: Count = 0
    weekly: Count = 0
    is_upper_limit: bool = False


class AudienceReply(BaseModel):
    """How many would be notified."""

    webhooks: Count
    mails: MailCounts


def channel(keys: Keyspace) -> str:
    """Return the Pub/Sub channel of requests. Channels are shared by all databases of a server, so its name has the namespace."""
    return keys.key("audience_requests")
