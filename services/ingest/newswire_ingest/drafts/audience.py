"""Who would be notified of an act: notify counts, and an act stays possible where it does not reply."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from newswire.audience import (
    DEADLINE_SECONDS,
    MAX_REQUEST_BYTES,
    AudienceReply,
    AudienceRequest,
    MailCounts,
    channel,
)
from newswire.concurrency.offload import OffloadError
from newswire.events import ArticlePublished, Kind
from newswire.keys import Keyspace
from newswire.messaging.requests import NoReplyError, RequestBroker
from newswire_ingest.content.markup_limits import MarkupLimitError
from newswire_ingest.drafts.models import Draft, DraftAct
from newswire_ingest.drafts.service import DraftService

MAX_CONCURRENT_REQUESTS = 4
"""Each may be as large as an article. More of them wait, within their deadline."""
_KINDS = {DraftAct.UPDATE: Kind.UPDATED, DraftAct.CORRECT: Kind.CORRECTED}


@dataclass(frozen=True, slots=True)
class AudienceCounts:
    """How many would be notified; None where that is not known, for a reason."""

    webhooks: int | None = None
    mails: MailCounts | None = None
    unknown_reason: str | None = None


class Audiences:
    """Asks notify."""

    def __init__(self, drafts: DraftService, requests: RequestBroker, keys: Keyspace) -> None:
        self._drafts = drafts
        self._requests = requests
        self._channel = channel(keys)
        self._running = asyncio.Semaphore(MAX_CONCURRENT_REQUESTS)

    async def of(self, draft: Draft, act: DraftAct) -> AudienceCounts:
        """Return how many would be notified of an act with the present text of a draft."""
        if act is DraftAct.RETRACT:
            return await self.of_retraction(draft.article.id if draft.article else draft.id)
        try:
            article = await self._drafts.preview(draft)
        except (MarkupLimitError, OffloadError):
            article = None
        return await self.of_article(article, act)

    async def of_article(self, article: Mapping[str, Any] | None, act: DraftAct) -> AudienceCounts:
        """Return how many would be notified of an article that a draft would become; None for one that cannot be made."""
        try:
            version = ArticlePublished.model_validate({**(article or {}), "kind": _KINDS.get(act, Kind.PUBLISHED)})
        except ValidationError:
            return AudienceCounts(unknown_reason="the text of the draft cannot be published as it is")
        return await self._ask(AudienceRequest(article_id=version.id, version=version))

    async def of_retraction(self, article_id: str) -> AudienceCounts:
        """Return how many would be notified of the retraction of an article: everyone who was sent it."""
        return await self._ask(AudienceRequest(article_id=article_id))

    async def _ask(self, request: AudienceRequest) -> AudienceCounts:
        body = request.model_dump_json().encode()
        if len(body) > MAX_REQUEST_BYTES:
            return AudienceCounts(unknown_reason="the article is too large")
        try:
            async with asyncio.timeout(DEADLINE_SECONDS), self._running:
                reply = await self._requests.ask(body, self._channel, DEADLINE_SECONDS)
            counts = AudienceReply.model_validate_json(reply)
        except TimeoutError:
            return AudienceCounts(unknown_reason="many others ask at this moment")
        except (NoReplyError, ValidationError) as error:
            told = error if isinstance(error, NoReplyError) else "the reply is not of this release"
            return AudienceCounts(unknown_reason=f"notify did not count them: {told}")
        return AudienceCounts(counts.webhooks, counts.mails)
