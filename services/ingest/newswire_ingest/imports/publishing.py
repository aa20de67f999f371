"""Publishes the items of an import, or finds out what publishing them would change: as a batch of the API does it."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any

import orjson

from newswire.auth.credentials import Caller
from newswire.storage.replication import ReplicationBarrier
from newswire_ingest.articles.batch import Batch
from newswire_ingest.articles.disk_buffer import DiskBuffer
from newswire_ingest.articles.dry_run import DryRun
from newswire_ingest.articles.models import WriteCommand
from newswire_ingest.articles.service import ArticleService
from newswire_ingest.imports.models import Row
from newswire_ingest.limits.limits import Limits

PAUSE_SECONDS = 1.0
"""Between two rounds, where a limit on the rate admits only some articles of a chunk."""
MAX_FRUITLESS_ROUNDS = 3
"""Rounds in a row that admit nothing: a limit per second is free again by then; one per day is not."""
_UNAVAILABLE = 503
_LATER = frozenset({429, _UNAVAILABLE})
_BARRED = 401
_SKIPPED = {
    "retracted": "was retracted, and stays retracted",
    "older-version": "is older than the version that is published",
}
"""Types of problems that are no failures of an import, with the remark."""


class PublishLaterError(Exception):
    """The articles cannot be published at the moment; the message says why. Publishing them again changes nothing twice."""


class BarredError(Exception):
    """The user may not publish any more."""


class ItemPublisher:
    """Publishes items in the name of a user."""

    def __init__(self, articles: ArticleService, limits: Limits, barrier: ReplicationBarrier | None = None) -> None:
        """Publish by a service. ``barrier``: confirms that replicas of Redis have an item before it counts as published."""
        self._articles = articles
        self._limits = limits
        self._barrier = barrier

    async def publish(self, items: Sequence[Row], caller: Caller, *, silent: bool, dry_run: bool) -> list[Row]:
        """Return what became of each item, or would become.

        Raises:
            PublishLaterError: a limit is used up, or the store is full.
            BarredError: the caller may not publish any more.
        """
        drafts = [item["draft"] for item in items if "draft" in item]
        answers = iter(await self._answers(drafts, caller, silent=silent, dry_run=dry_run))
        return [_row(item, next(answers) if "draft" in item else None) for item in items]

    async def _answers(
        self, drafts: Sequence[dict[str, Any]], caller: Caller, *, silent: bool, dry_run: bool
    ) -> list[dict[str, Any]]:
        trial = DryRun(self._articles, self._limits) if dry_run else None
        barrier = None if dry_run else self._barrier
        batch = Batch(self._articles, self._limits, WriteCommand(caller, "", ""), None, silent, trial, barrier)
        answers: dict[int, dict[str, Any]] = {}
        pending, fruitless = list(range(len(drafts))), 0
        while pending:
            sent = await _send(batch, [drafts[at] for at in pending])
            for answer in sent:
                if answer["status"] == _BARRED:
                    raise BarredError(_detail(answer))
            answers |= dict(zip(pending, sent, strict=True))
            left = [at for at in pending if answers[at]["status"] in _LATER]
            fruitless = fruitless + 1 if len(left) == len(pending) else 0
            if fruitless > MAX_FRUITLESS_ROUNDS or any(answers[at]["status"] == _UNAVAILABLE for at in left):
                raise PublishLaterError(_detail(answers[left[0]]))
            pending = left
            if pending:
                await asyncio.sleep(PAUSE_SECONDS)
        return [answers[at] for at in range(len(drafts))]


async def _send(batch: Batch, drafts: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the answer to each draft."""

    async def lines() -> AsyncIterator[bytes]:
        for draft in drafts:
            yield orjson.dumps(draft, option=orjson.OPT_APPEND_NEWLINE)

    buffer, received = DiskBuffer(), bytearray()
    try:
        await batch.publish(lines(), buffer)
        while data := await buffer.read():
            received += data
    finally:
        buffer.close()
    return [orjson.loads(line) for line in received.splitlines()]


def _detail(answer: dict[str, Any]) -> str:
    return str(answer["error"].get("detail", ""))


def _row(item: Row, answer: dict[str, Any] | None) -> Row:
    row: Row = {"line": item["line"], "title": None, "external_id": None, "article": None}
    if answer is None:
        return row | {"what": item["what"], "remarks": [item["reason"]]}
    draft, notes = item["draft"], item["notes"]
    row |= {"title": draft.get("title"), "external_id": draft.get("external_id")}
    if answer["status"] in (200, 201):
        changed = answer.get("changed") or []
        return row | {"what": answer["effect"], "article": answer.get("id"), "changed": changed, "remarks": notes}
    problem = answer["error"]
    kind = str(problem.get("type", "")).rpartition(":")[2]
    if kind in _SKIPPED:
        return row | {"what": "skipped", "remarks": [_SKIPPED[kind]]}
    refused = [[each["field"], each["problem"]] for each in problem.get("errors", ()) if "problem" in each]
    remarks = [] if refused else [str(problem.get("detail") or problem.get("title"))]
    return row | {"what": "failed", "refused": refused, "remarks": remarks}
