"""The articles of drafts: what their records say about acts with drafts.

An act writes the article first and the draft afterwards. If a process ends in between, the article shows that the act was done: its
version has the write token of the act. `ArticleLinks.settle` completes the draft then, before anything else is done with it.
"""

from collections.abc import Sequence
from dataclasses import replace

from newswire.observability import audit
from newswire.observability.audit import Act, Actor, ActorType
from newswire.storage.article_records import ArticleState
from newswire_ingest.articles.article_reader import StoredArticle
from newswire_ingest.articles.publishing import is_article_id
from newswire_ingest.articles.repository import ArticleStore
from newswire_ingest.drafts.models import DoneAct, DraftAct
from newswire_ingest.drafts.records import StoredDraft
from newswire_ingest.drafts.repository import DraftStore, DraftWrite, packed

_ENTRIES = {
    DraftAct.PUBLISH: Act.ARTICLE_PUBLISHED,
    DraftAct.SCHEDULE: Act.ARTICLE_SCHEDULED,
    DraftAct.UPDATE: Act.ARTICLE_UPDATED,
    DraftAct.CORRECT: Act.ARTICLE_CORRECTED,
}


class ArticleLinks:
    """Reads the articles of drafts, and completes acts in the drafts."""

    def __init__(self, articles: ArticleStore, store: DraftStore) -> None:
        self._articles = articles
        self._store = store

    async def find(self, account: str, article_id: str) -> StoredArticle | None:
        """Return an article of the account; None if it has no such one."""
        found = await self._articles.find(article_id) if is_article_id(article_id) else None
        return found if found is not None and found.state.publisher == account else None

    async def states(self, drafts: Sequence[StoredDraft]) -> dict[str, ArticleState]:
        """Return the states of the articles of drafts, by id."""
        ids = list(dict.fromkeys(draft.article for draft in drafts if draft.article))
        return await self._articles.states(ids) if ids else {}

    async def settle(self, stored: StoredDraft) -> bool:
        """Bring a draft in line with its article, where an act or the article went on without it; return whether it changed."""
        change = await self._settled(stored)
        if change is None:
            return False
        await self._store.write(change)
        return True

    async def complete(self, stored: StoredDraft, done: DoneAct, article_id: str) -> None:
        """Record in a draft that the act it began is done. If another process completed it first, nothing is written."""
        while stored.pending is not None and stored.pending.token == done.token:
            after = _linked(stored, article_id, done)
            if await self._store.write(DraftWrite(stored, after, None, entry=_entry(after, done))) != "STALE":
                return
            found = await self._store.read(stored.id)
            if found is None:
                return
            stored = found[0]

    async def _settled(self, stored: StoredDraft) -> DraftWrite | None:
        """Return what is to be written; None if the draft is as it should be."""
        linked = stored.article or stored.reserved
        # Read before the token: if there is an article, it is certain whether the act that began has made it.
        state = (await self._articles.states([linked])).get(linked) if linked else None
        if stored.pending is not None and (done := await self._written(stored, stored.pending)):
            after = _linked(stored, linked or "", done)
            return DraftWrite(stored, after, None, entry=_entry(after, done))
        if stored.article is None:
            if state is None:
                return None
            # An act that began later replaced the record of the one that made the article.
            after = replace(stored, stamp=stored.stamp + 1, article=state.id, reserved=None, pending=None)
            return DraftWrite(stored, after, None)
        if state is None:
            found = await self._store.read(stored.id)
            return _without_article(found[0], found[1]) if found and found[1] is not None else None
        if stored.done is not None and stored.done.article_revision.startswith("0-") and state.version:
            tokens = await self._articles.write_tokens(state.id, 1)
            if tokens.version == stored.done.token:  # it was published by time
                done = replace(stored.done, article_revision="1-0")
                return DraftWrite(stored, _linked(stored, state.id, done), None)
        return None

    async def _written(self, stored: StoredDraft, pending: DoneAct) -> DoneAct | None:
        """Return the act as it was done, if a version of the article shows that it was."""
        article_id = stored.article or stored.reserved
        if article_id is None:
            return None
        number = int(pending.before.partition("-")[0] or 0) + 1
        tokens = await self._articles.write_tokens(article_id, number)
        if tokens.version == pending.token:
            return replace(pending, article_revision=f"{number}-0")
        if tokens.scheduled == pending.token:
            return replace(pending, article_revision=f"0-{tokens.revision}")
        return None


def _linked(stored: StoredDraft, article_id: str, done: DoneAct) -> StoredDraft:
    return replace(
        stored,
        stamp=stored.stamp + 1,
        article=article_id,
        based_on=done.article_revision,
        reserved=None,
        pending=None,
        done=done,
    )


def _without_article(stored: StoredDraft, text: bytes) -> DraftWrite:
    """Return the change of a draft whose scheduled article was cancelled.

    Its text gets a new number, so that a repeat of the request that scheduled it does not schedule it again.
    """
    number = stored.sequence + 1
    after = replace(
        stored,
        stamp=stored.stamp + 1,
        sequence=number,
        revision=number,
        article=None,
        based_on=None,
        reserved=None,
        pending=None,
        done=None,
        history=tuple(
            replace(each, number=number) if each.number == stored.revision else each for each in stored.history
        ),
    )
    return DraftWrite(stored, after, None, packed(text), (stored.revision,))


def _entry(draft: StoredDraft, done: DoneAct) -> bytes:
    by = done.by
    actor = Actor(
        by.type,
        key_id=by.id if by.type is ActorType.KEY else None,
        account=draft.account,
        address=done.address,
        user_id=by.id if by.type is ActorType.USER else None,
    )
    details = {"draft": draft.id, "revision": done.revision, "article_revision": done.article_revision}
    due = done.due.isoformat() if done.due else None
    is_scheduled = done.article_revision.startswith("0-")
    act = Act.ARTICLE_PUBLISHED if done.act is DraftAct.SCHEDULE and not is_scheduled else _ENTRIES[done.act]
    return audit.new_entry(actor, act, "article", draft.article or "", **details, due=due)
