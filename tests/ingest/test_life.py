"""Random sequences of publishers' requests, concurrent or cut off: versions have no gaps, and each has exactly one event."""

import asyncio
import os
import random
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test
from redis.asyncio import Redis

from newswire.auth.api_keys import create_key
from newswire.auth.credentials import Scope
from newswire.events import PUBLISHED
from newswire.http.application import create_app
from newswire.keys import Keyspace
from newswire.storage.article_records import article_ids, read_article_state, read_version
from newswire.timestamps import rfc3339
from newswire_ingest.app import assemble
from newswire_ingest.articles.repository import ArticleStore
from newswire_ingest.articles.scheduler import publish_due
from newswire_ingest.settings import IngestSettings
from tests.ingest.conftest import Ingest

TITLES = st.sampled_from(["Ferry", "Bridge", "Tram"])
EXTERNAL = st.sampled_from([None, "a", "b", "c"])
KEYS = st.sampled_from([None, None, "k1", "k2"])
TOMORROW = datetime.now(UTC) + timedelta(days=1)
EXPECTED = {200, 201, 404, 409, 410, 412, 422}


class Life(RuleBasedStateMachine):
    """Publishers; after every step the records and the stream are compared."""

    redis_url = ""
    locations = Bundle("locations")

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.seen: list[tuple[str, str]] = []

    @initialize()
    def begin(self) -> None:
        self.runner.run(self._begin())

    async def _begin(self) -> None:
        self.redis = Redis.from_url(self.redis_url)
        namespace = f"t{random.getrandbits(60):x}"
        self.settings = IngestSettings(redis_url=self.redis_url, namespace=namespace, allow_volatile=True)
        self.keys = Keyspace(namespace)
        key = await create_key(self.redis, self.keys, "Harbour Gazette", {Scope.PUBLISH})
        self.headers = {"Authorization": f"Bearer {key.token}"}
        self._restart()

    def _restart(self) -> None:
        app = create_app([assemble(self.redis, self.settings)], self.settings, redis=self.redis)
        http = httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="https://news.example")
        self.ingest = Ingest(http, self.redis, self.keys, app, self.settings)

    async def ask(self, method: str, url: str, content: Any, key: str | None, **headers: str) -> httpx.Response:
        headers = {**self.headers, **headers, **({"Idempotency-Key": key} if key else {})}
        answer = await self.ingest.http.request(method, url, json=content, headers=headers)
        assert answer.status_code in EXPECTED, answer.text
        return answer

    @rule(target=locations, title=TITLES, external=EXTERNAL, key=KEYS, later=st.booleans())
    def create(self, title: str, external: str | None, key: str | None, later: bool) -> str:
        sent = _article(title, later) | ({"external_id": external} if external else {})
        answer = self.runner.run(self.ask("POST", "/v1/articles", sent, key))
        again = self.runner.run(self.ask("POST", "/v1/articles", sent, key)) if key or external else None
        if again is not None and answer.is_success:
            assert (again.status_code, again.json()) == (200, answer.json())
        return answer.headers.get("location", "/v1/articles/01jd0000000000000000000000")

    @rule(location=locations, title=TITLES, key=KEYS, later=st.booleans())
    def put(self, location: str, title: str, key: str | None, later: bool) -> None:
        self.runner.run(self._twice("PUT", location, _article(title, later), key))

    @rule(external=st.sampled_from(["a", "b", "c"]), title=TITLES, key=KEYS)
    def put_external(self, external: str, title: str, key: str | None) -> None:
        self.runner.run(self._twice("PUT", f"/v1/articles/by-external-id/{external}", _article(title, False), key))

    @rule(location=locations, title=TITLES, key=KEYS, note=st.booleans())
    def patch(self, location: str, title: str, key: str | None, note: bool) -> None:
        sent = {"title": title} | ({"correction_note": f"Not {title}."} if note else {})
        self.runner.run(self._twice("PATCH", location, sent, key))

    @rule(location=locations, key=KEYS)
    def delete(self, location: str, key: str | None) -> None:
        self.runner.run(self._twice("DELETE", location, None, key))

    async def _twice(self, method: str, url: str, content: Any, key: str | None) -> None:
        """Send a request twice: the repeat has no effect."""
        answer = await self.ask(method, url, content, key)
        before = await self.ingest.events()
        again = await self.ask(method, url, content, key)
        if answer.is_success and "cancelled" not in answer.text:
            assert again.json() == answer.json()
        assert await self.ingest.events() == before

    @rule(location=locations, titles=st.lists(TITLES, min_size=2, max_size=4), named=st.booleans())
    def race(self, location: str, titles: list[str], named: bool) -> None:
        self.runner.run(self._race(location, titles, named))

    async def _race(self, location: str, titles: list[str], named: bool) -> None:
        seen = await self.ask("GET", location, None, None)
        condition = {"If-Match": seen.headers["etag"]} if named and "etag" in seen.headers else {}
        sent = [{"title": f"{title} {number}"} for number, title in enumerate(titles)]
        raced = [self.ask("PATCH", location, content, None, **condition) for content in sent]
        withdrawn = self.ask("DELETE", location, None, None, **condition) if len(titles) > 3 else None
        answers = await asyncio.gather(*raced, *([withdrawn] if withdrawn else []))
        if condition:
            states = {answer.headers["etag"] for answer in answers if answer.is_success}
            assert len(states - {seen.headers["etag"]}) <= 1

    @rule(
        location=locations, title=TITLES, method=st.sampled_from(["PUT", "PATCH", "DELETE"]), steps=st.integers(0, 12)
    )
    def cut_off(self, location: str, title: str, method: str, steps: int) -> None:
        """The process dies in the middle of a request, and another one takes over."""
        self.runner.run(self._cut_off(location, title, method, steps))

    async def _cut_off(self, location: str, title: str, method: str, steps: int) -> None:
        content = None if method == "DELETE" else _article(title, False)
        asking = asyncio.create_task(self.ask(method, location, content, None))
        for _ in range(steps):
            await asyncio.sleep(0)
        asking.cancel()
        with suppress(asyncio.CancelledError):
            await asking
        self._restart()
        await asyncio.sleep(0.005)  # commands already sent to the store are executed

    @rule()
    def the_time_comes(self) -> None:
        async def clock() -> datetime:
            return TOMORROW + timedelta(seconds=1)

        async def three() -> None:
            stores = [ArticleStore(self.redis, self.keys, timedelta(hours=24)) for _ in range(3)]
            await asyncio.gather(*(publish_due(store, clock) for store in stores))

        self.runner.run(three())

    @invariant()
    def records_and_stream_agree(self) -> None:
        if hasattr(self, "ingest"):
            self.runner.run(self._compare())

    async def _compare(self) -> None:
        told: dict[str, list[tuple[int, str]]] = {}
        events = await self.ingest.events()
        assert len({event["id"] for event in events}) == len(events)
        for event in events:
            told.setdefault(event["subject"], []).append((event["data"]["version"], event["type"]))
        known = [article_id async for article_id in article_ids(self.redis, self.keys)]
        assert set(told) <= set(known)
        for article_id in known:
            head = await read_article_state(self.redis, self.keys, article_id)
            assert head is not None
            mine = told.get(article_id, [])
            published = [version for version, kind in mine if kind == PUBLISHED]
            if head.status == "published":
                assert published == list(range(published[0], head.version + 1))
                last = await read_version(self.redis, self.keys, article_id, head.version)
                [event] = [event for event in events if event["id"] == f"{article_id}.{head.version}"]
                assert last is not None
                assert (
                    last.model_dump(mode="json", exclude_none=True).items()
                    >= {
                        name: value for name, value in event["data"].items() if name in ("title", "version", "changed")
                    }.items()
                )
            else:
                assert published == []
            retracted = [version for version, kind in mine if kind != PUBLISHED]
            assert retracted == sorted(set(retracted))
            if head.status == "retracted":
                assert retracted[-1] == head.version
            if published and retracted:
                assert published[0] == retracted[-1] + 1
            scheduled = await self.redis.zscore(self.keys.due, article_id)
            assert (scheduled is not None) == (head.status == "scheduled") == (head.version == 0)
            listed = [
                status
                for status in ("scheduled", "published", "retracted")
                if await self.redis.zscore(self.keys.articles_of("Harbour Gazette", status), article_id) is not None
            ]
            assert listed == [head.status]
        named = await self.redis.hvals(self.keys.external("Harbour Gazette"))
        assert len(named) == len(set(named))
        assert {article_id.decode() for article_id in named} <= set(known)

    def teardown(self) -> None:
        if hasattr(self, "ingest"):
            self.runner.run(self.redis.aclose())
        self.runner.close()


def _article(title: str, later: bool) -> dict[str, Any]:
    due = {"embargo_until": rfc3339(TOMORROW)} if later else {}
    return {"title": title, "body": f"<p>{title} it is.</p>"} | due


def test_random_changes_leave_consistent_versions_and_indexes(redis_url: str) -> None:
    class Here(Life):
        pass

    Here.redis_url = redis_url
    chosen = settings(
        max_examples=int(os.environ.get("NEWSWIRE_LIFE_EXAMPLES", "15")),
        stateful_step_count=15,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        database=None,
    )
    run_state_machine_as_test(Here, settings=chosen)
