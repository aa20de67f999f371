"""A dry run of a batch: applies the rules of publishing to every line, and writes nothing."""

from collections import OrderedDict
from typing import Any, Final

import orjson

from newswire.article import ArticleDraft, Status
from newswire.storage.article_records import ArticleState, pack, unpack
from newswire.timestamps import rfc3339, utc_now
from newswire_ingest.articles.article_reader import StoredArticle
from newswire_ingest.articles.models import WriteCommand, WritePlan
from newswire_ingest.articles.service import ArticleService
from newswire_ingest.content.content import changed
from newswire_ingest.limits.limits import Limits

MAX_REMEMBERED_BYTES: Final = 64 * 1024 * 1024
"""Limit on the remembered results of earlier lines, which later lines about the same articles need."""


class DryRun:
    """One dry run. Later lines see what earlier lines would have written."""

    def __init__(self, articles: ArticleService, limits: Limits) -> None:
        self._service = articles
        self._limits = limits
        self._articles: OrderedDict[str, tuple[ArticleState, bytes]] = OrderedDict()
        self._remembered_bytes = 0
        self._created = 0

    async def line(self, draft: ArticleDraft, command: WriteCommand) -> dict[str, Any]:
        """Return the result of a line, without its number.

        Raises:
            newswire_ingest.articles.errors.ArticleError: the line would be rejected.
        """
        if command.idempotency and (before := await self._service.previous_result(command)):
            return _answer("unchanged", before.article_id, before.view["version"])
        assumed = self._assumed(draft.external_id)
        plan = await self._service.plan(draft, command, assumed)
        if plan.effect == "created":
            await self._within_quota(command)
        version = 0 if plan.version.due is not None else plan.version.number
        if draft.external_id is not None and plan.effect != "unchanged":
            self._store_result(draft.external_id, _state_after(plan, command), plan.version.document_json)
        if plan.effect == "unchanged" and plan.found is not None:
            version = plan.found.state.version
        known = plan.found.state.id if plan.found is not None else ""
        return _answer(plan.effect, known, version, _changed_by(plan) if plan.effect == "updated" else None)

    async def _within_quota(self, command: WriteCommand) -> None:
        now = utc_now()
        left = await self._limits.remaining_today(command.caller, now)
        if left is not None and self._created >= left:
            raise self._limits.over_quota(command.caller, now)
        self._created += 1

    def _assumed(self, external_id: str | None) -> StoredArticle | None:
        remembered = self._articles.get(external_id) if external_id is not None else None
        return StoredArticle(remembered[0], unpack(remembered[1])) if remembered else None

    def _store_result(self, external_id: str, state: ArticleState, document: bytes) -> None:
        if before := self._articles.pop(external_id, None):
            self._remembered_bytes -= len(before[1])
        self._articles[external_id] = state, pack(document)
        self._remembered_bytes += len(self._articles[external_id][1])
        while self._remembered_bytes > MAX_REMEMBERED_BYTES:
            _, (_, forgotten) = self._articles.popitem(last=False)
            self._remembered_bytes -= len(forgotten)


def _answer(effect: str, article_id: str, version: int, changes: list[str] | None = None) -> dict[str, Any]:
    answer: dict[str, Any] = {"status": 201 if effect == "created" else 200, "version": version, "effect": effect}
    if article_id:
        answer["id"] = article_id
    if changes is not None:
        answer["changed"] = changes
    return answer | {"dry_run": True}


def _changed_by(plan: WritePlan) -> list[str]:
    document = plan.version.document
    if "changed" in document:
        return list(document["changed"])
    if plan.found is None or plan.found.document is None:
        return []
    state = plan.found.state
    due = rfc3339(plan.version.due) if plan.version.due is not None else None
    moved = ["embargo_until"] if due != state.embargo_until else []
    before = orjson.loads(plan.found.document)
    silent = ["silent"] if before.get("silent", False) != document["silent"] else []
    return changed(before, document) + moved + silent


def _state_after(plan: WritePlan, command: WriteCommand) -> ArticleState:
    """Return the state that the article would have after the plan."""
    version, document = plan.version, plan.version.document
    due = rfc3339(version.due) if version.due is not None else None
    before = plan.found.state if plan.found is not None else None
    return ArticleState(
        id=version.id,
        status=Status.SCHEDULED if due else Status.PUBLISHED,
        version=0 if due else version.number,
        revision=(before.revision if before else 0) + 1 if due else 0,
        publisher=document["publisher"],
        external_id=document.get("external_id"),
        fingerprint=before.fingerprint if before else command.fingerprint,
        tombstone=None,
        published_at=document["published_at"],
        updated_at=document["updated_at"],
        source_version=document.get("source_version"),
        embargo_until=due,
    )
