"""Records and stream written by the real ingest, and an index that follows them, in one process."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx
from redis.asyncio import Redis

from newswire.auth.api_keys import create_key
from newswire.auth.credentials import Scope
from newswire.http.application import create_app
from newswire.keys import Keyspace
from newswire.messaging.broker import EventBroker
from newswire.messaging.group_member import GroupMember
from newswire.messaging.groups import SEARCH
from newswire.settings import Settings
from newswire_ingest.app import assemble
from newswire_ingest.settings import IngestSettings
from newswire_search.app import GROUP, index_admin_for
from newswire_search.index.admin import IndexAdmin
from newswire_search.index.port import ArticleIndex
from newswire_search.indexing.handlers import subscribe
from newswire_search.indexing.indexed_events import IndexedEventPublisher
from newswire_search.maintenance.reindex_state import Phase
from newswire_search.maintenance.reindexing import ReindexResult, reindex
from newswire_search.maintenance.verification import Comparison, Repair, VerificationReport, verify

DEADLINE = 60.0


@dataclass
class Newsroom:
    """A publisher, the records it writes, and the index."""

    redis: Redis
    keys: Keyspace
    index: ArticleIndex
    http: httpx.AsyncClient
    written: dict[str, dict[str, Any]] = field(default_factory=dict)
    """The last response for each article, by id."""

    @property
    def admin(self) -> IndexAdmin:
        """The administration of the index."""
        return index_admin_for(self.index)

    @property
    def comparison(self) -> Comparison:
        """The comparison of the index with the records."""
        return Comparison(self.redis, self.keys, self.admin)

    async def publish(self, title: str, **more: Any) -> str:
        """Publish or schedule an article and return its id."""
        return await self._sent("POST", "/v1/articles", {"title": title, "body": "<p>Nothing to see.</p>", **more})

    async def change(self, article: str, title: str) -> None:
        """Publish the next version."""
        await self._sent("PUT", f"/v1/articles/{article}", {"title": title, "body": "<p>Nothing to see.</p>"})

    async def retract(self, article: str) -> None:
        """Retract an article."""
        await self._sent("DELETE", f"/v1/articles/{article}", None)

    async def _sent(self, method: str, path: str, body: dict[str, Any] | None) -> str:
        answer = await self.http.request(method, path, json=body)
        assert answer.is_success, answer.text
        article: dict[str, Any] = answer.json()
        self.written[article["id"]] = article
        return str(article["id"])

    @asynccontextmanager
    async def indexing(self) -> AsyncIterator[None]:
        """Index the stream while the block runs, and up to its end."""
        broker = EventBroker(GroupMember(self.redis, self.keys, SEARCH))
        subscribe(
            broker,
            self.index,
            IndexedEventPublisher(self.redis, self.keys, self.index, "https://news.example/search"),
        )
        stopping = asyncio.Event()
        running = asyncio.create_task(broker.consume(stopping))
        try:
            yield
            await self.caught_up()
        finally:
            stopping.set()
            await running

    async def caught_up(self) -> None:
        """Wait until the group has handled the stream to its end."""
        async with asyncio.timeout(DEADLINE):
            while not await self._is_caught_up():
                await asyncio.sleep(0.02)

    async def _is_caught_up(self) -> bool:
        groups = {info["name"]: info for info in await self.redis.xinfo_groups(self.keys.stream)}
        about = await self.redis.xinfo_stream(self.keys.stream)
        group = groups.get(GROUP.encode())
        last = about["last-entry"] and about["last-entry"][0]
        return group is not None and not group["pending"] and (not last or group["last-delivered-id"] >= last)

    async def reindexed(self, told: Any = lambda *_: None, **more: Any) -> ReindexResult:
        """Rebuild the index."""
        return await reindex(self.redis, self.keys, self.admin, told, **more)

    async def verified(self, repair: Repair | None = None) -> VerificationReport:
        """Compare the whole index."""
        return await verify(self.comparison, lambda _: None, repair)


@asynccontextmanager
async def newsroom(redis: Redis, redis_url: str, namespace: str, index: ArticleIndex) -> AsyncIterator[Newsroom]:
    """Open a newsroom for a namespace and its index."""
    keys = Keyspace(namespace)
    own: dict[str, Any] = {"redis_url": redis_url, "namespace": namespace, "allow_volatile": True}
    settings = IngestSettings(**Settings(**own).model_dump())
    app = create_app([assemble(redis, settings)], settings, redis=redis)
    key = await create_key(redis, keys, "Harbour Post", {Scope.PUBLISH})
    headers = {"Authorization": f"Bearer {key.token}"}
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="https://news.example", headers=headers) as http:
        yield Newsroom(redis, keys, index, http)


class Killed(BaseException):
    """Ends a reindex as if the process were killed: no error handler catches it."""


def killing(phase: Phase, after: int = 0) -> Any:
    """Return a progress callback that ends the reindex in a phase, once so many articles are done."""

    def told(reached: Phase, done: int, total: int) -> None:
        del total
        if reached == phase and done >= after:
            raise Killed

    return told
