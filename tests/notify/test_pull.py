"""Pull: a mirror that follows one cursor ends with exactly the records."""

import asyncio
import random
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import SecretStr
from redis.asyncio import Redis

from newswire.auth.accounts import entitle_account
from newswire.auth.api_keys import create_key
from newswire.auth.credentials import Scope
from newswire.auth.signed_tokens import SignedTokens
from newswire.events import PUBLISHED
from newswire.filters import Filter
from newswire.keys import Keyspace
from newswire.messaging.retention import trim
from newswire.messaging.stream_position import parse_position
from newswire.observability import metrics
from newswire_ingest.app import service as ingest
from newswire_notify.settings import NotifySettings
from newswire_notify.streaming.pull import RecordsPosition, read_cursor, write_cursor
from tests.notify.conftest import until
from tests.notify.notify_server import served
from tests.notify.sse_reader import following
from tests.polling import DEADLINE_SECONDS

pytestmark = pytest.mark.slow


@dataclass
class Site:
    """Ingest and notify, as publishers and readers see them."""

    url: str
    http: httpx.AsyncClient
    redis: Redis
    keys: Keyspace
    publisher: dict[str, str]

    async def publish(self, title: str, **more: Any) -> dict[str, Any]:
        sent = {"title": title, "body": f"<p>{title}, in full.</p>", **more}
        answer = await self.http.post("/v1/articles", json=sent, headers=self.publisher)
        assert answer.status_code == 201, answer.text
        article: dict[str, Any] = answer.json()
        return article

    async def change(self, article_id: str, title: str, **more: Any) -> int:
        sent = {"title": title, "body": f"<p>{title}, in full.</p>", **more}
        answer = await self.http.put(f"/v1/articles/{article_id}", json=sent, headers=self.publisher)
        assert answer.status_code == 200, answer.text
        return int(answer.json()["version"])

    async def retract(self, article_id: str) -> None:
        answer = await self.http.delete(f"/v1/articles/{article_id}", headers=self.publisher)
        assert answer.status_code == 200, answer.text

    async def page(self, after: str | None = None, key: str | None = None, **params: Any) -> dict[str, Any]:
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        params |= {} if after is None else {"after": after}
        answer = await self.http.get("/v1/events", params=params, headers=headers)
        assert answer.status_code == 200, answer.text
        page: dict[str, Any] = answer.json()
        return page

    async def everything(self, after: str, **params: Any) -> tuple[list[str], str]:
        """The ids of all events from a cursor on, and the next cursor."""
        ids = []
        while True:
            page = await self.page(after, **params)
            ids += [event["id"] for event in page["events"]]
            after = page["next"]
            if not page["more"]:
                return ids, after


@pytest.fixture
async def site(redis: Redis, redis_url: str, namespace: str) -> AsyncIterator[Site]:
    settings = NotifySettings(
        redis_url=SecretStr(redis_url),
        namespace=namespace,
        allow_volatile=True,
        live_per_key=2,
    )
    keys = Keyspace(namespace)
    key = await create_key(redis, keys, "Harbour Gazette", {Scope.PUBLISH})
    async with (
        served(redis, settings, partial(ingest, settings)) as (url, _),
        httpx.AsyncClient(base_url=url, timeout=DEADLINE_SECONDS) as http,
    ):
        yield Site(url, http, redis, keys, {"Authorization": f"Bearer {key.token}"})


async def test_after_zero_starts_with_the_current_state_of_every_article(site: Site) -> None:
    kept = await site.publish("Kept")
    changed = await site.publish("Changed once")
    erased = await site.publish("Erased")
    await site.publish("Later", embargo_until="2199-01-01T00:00:00Z")
    await site.change(changed["id"], "Changed twice")
    await site.retract(erased["id"])

    page = await site.page("0")
    assert [event["id"] for event in page["events"]] == [f"{kept['id']}.1", f"{changed['id']}.2"]
    assert (page["more"], page["restarted"]) == (False, False)
    assert page["events"][1]["data"]["title"] == "Changed twice"
    again = await site.page(page["next"])
    assert (again["events"], again["next"]) == ([], page["next"])

    late = await site.publish("Late")
    await site.retract(kept["id"])
    ids, _ = await site.everything(page["next"], limit=1)
    assert ids == [f"{late['id']}.1", f"{kept['id']}.1.retracted"]
    async with following(site.url, after=page["next"]) as reader:  # a cursor of the stream is the live stream's as well
        await until(lambda: reader.ids == ids)
    by_one, _ = await site.everything("0", limit=1)
    assert by_one == [f"{changed['id']}.2", f"{late['id']}.1"]


async def test_without_a_cursor_an_empty_stream_starts_now(site: Site) -> None:
    page = await site.page()
    assert (page["events"], page["more"]) == ([], False)
    assert (await site.page(page["next"]))["restarted"] is False
    first = await site.publish("First")
    await site.change(first["id"], "First, changed")
    await site.retract((await site.publish("Second"))["id"])
    ids, _ = await site.everything(page["next"], limit=1)
    assert ids[:2] == [f"{first['id']}.1", f"{first['id']}.2"]  # each event, not each article as it is now
    assert ids[2].endswith(".1.retracted")


async def test_an_event_from_the_records_equals_the_one_on_the_stream(site: Site) -> None:
    await site.publish("Two ways", topics=["Ferries"], metadata={"desk": "north"})
    [recorded] = (await site.page("0"))["events"]
    [entry] = await site.redis.xrange(site.keys.stream)
    at = parse_position(entry[0].decode())
    [streamed] = (await site.page(f"{at[0] - 1}-0"))["events"]
    assert recorded == {name: value for name, value in streamed.items() if name != "traceparent"}
    assert recorded["type"] == PUBLISHED


async def test_a_lost_position_restarts_with_retractions(site: Site) -> None:
    kept, erased, other = [await site.publish(title) for title in ("Kept", "Erased", "Other")]
    old = (await site.page("0", limit=1))["next"]
    read = await site.everything("0")
    assert len(read[0]) == 3
    await asyncio.sleep(0.002)
    await site.retract(erased["id"])
    await site.change(kept["id"], "Kept and changed")

    async def trimmed() -> bool:  # as far as the fan-out has handled it all
        await trim(site.redis, site.keys, timedelta(0), now_ms=2**43)
        return await site.redis.xlen(site.keys.stream) == 1

    await until(trimmed)
    for lost in (read[1], f"{2**43}-0"):
        page = await site.page(lost)
        assert page["restarted"]
        assert [event["id"] for event in page["events"]] == [
            f"{kept['id']}.2",
            f"{erased['id']}.1.retracted",
            f"{other['id']}.1",
        ]
        assert not (await site.page(page["next"]))["restarted"]
    ids, _ = await site.everything(old)  # its way from the records on to the stream is lost as well
    assert ids[-3:] == [f"{kept['id']}.2", f"{erased['id']}.1.retracted", f"{other['id']}.1"]


async def test_filters_and_entitlements_apply_to_records_and_stream(site: Site, redis: Redis, keys: Keyspace) -> None:
    key = (await create_key(redis, keys, "Reading Room", {Scope.READ})).token
    await entitle_account(redis, keys, "Reading Room", Filter(topics=["Ferries"]))
    start = (await site.page())["next"]
    night = await site.publish("The night boat", topics=["Ferries"])
    day = await site.publish("The day boat", topics=["Ferries"])
    await site.publish("A night on the bridge", topics=["Bridges"])
    boats = [f"{night['id']}.1", f"{day['id']}.1"]
    for params, ids in (({}, boats), ({"q": "night"}, boats[:1]), ({"topic": "Bridges"}, [])):
        assert (await site.everything("0", key=key, **params))[0] == ids
        assert [e["id"] for e in (await site.page("1-0", key=key, **params))["events"]] == ids
    await site.retract(day["id"])
    ids, end = await site.everything("1-0", key=key, q="night")
    assert ids == [f"{night['id']}.1", f"{day['id']}.1.retracted"]
    assert end != start


async def test_it_waits_for_events(site: Site, redis: Redis, keys: Keyspace) -> None:
    start = (await site.page())["next"]
    waiting = asyncio.create_task(site.page(start, wait=30, q="ferry"))
    from_nothing = asyncio.create_task(site.page("0", wait=30, q="ferry"))
    await site.publish("Nothing of that kind")
    assert not waiting.done()
    article = await site.publish("A ferry")
    for task in (waiting, from_nothing):
        page = await asyncio.wait_for(task, 60)
        assert [event["id"] for event in page["events"]] == [f"{article['id']}.1"]
    page = await site.page(page["next"], wait=1)
    assert (page["events"], page["more"]) == ([], False)

    key = await create_key(redis, keys, "Reading Room", {Scope.READ})
    waiting_before = metrics.live_clients._value.get()
    held = [asyncio.create_task(site.page(page["next"], key=key.token, wait=30)) for _ in range(2)]
    await until(lambda: metrics.live_clients._value.get() == waiting_before + 2)
    params = {"after": page["next"], "wait": "1"}
    refused = await site.http.get("/v1/events", params=params, headers={"Authorization": f"Bearer {key.token}"})
    assert refused.status_code == 429
    assert (await site.page(page["next"], key=key.token))["events"] == []  # requests that do not wait are not counted
    await entitle_account(redis, keys, "Reading Room", Filter(topics=["Ferries"]))
    assert [(await asyncio.wait_for(task, 60))["events"] for task in held] == [[], []]


NO_CURSORS = ["yesterday", "", "r", "rW10", "rWyIxLTAiLDEsMiwzXQ", "1-0-0", "-1", "r" + "A" * 200, "r\u00e9"]
REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"after": ["0", "1-0"]}, "after"),
    ({"limit": "1001"}, "limit"),
    ({"wait": "61"}, "wait"),
    ({"wait": "-1"}, "wait"),
    ({"since": "0-0"}, "since"),
    ({"token": "nwt_a"}, "token"),
    ({"q": "a*"}, "q"),
]


async def test_invalid_requests_are_refused(site: Site) -> None:
    for params, field_ in REFUSED:
        answer = await site.http.get("/v1/events", params=params)
        assert answer.status_code == 422, params
        assert answer.json()["errors"][0]["field"] == field_
    for sent in NO_CURSORS:
        answer = await site.http.get("/v1/events", params={"after": sent})
        assert (answer.status_code, answer.json()["errors"][0]["field"]) == (400, "after"), sent


async def test_a_records_cursor_is_bound_to_its_filters_and_reader(site: Site, redis: Redis, keys: Keyspace) -> None:
    await site.publish("A ferry")
    await site.publish("Another ferry")
    cursor = (await site.page("0", limit=1))["next"]
    assert (await site.http.get("/v1/events", params={"after": cursor, "limit": 5})).status_code == 200
    key = await create_key(redis, keys, "Reading Room", {Scope.READ})
    foreign = [
        await site.http.get("/v1/events", params={"after": cursor, "q": "ferry"}),
        await site.http.get("/v1/events", params={"after": cursor}, headers={"Authorization": f"Bearer {key.token}"}),
    ]
    flipped = cursor[:20] + ("A" if cursor[20] != "A" else "B") + cursor[21:]
    foreign += [
        await site.http.get("/v1/events", params={"after": changed}) for changed in (flipped, cursor[:-1], cursor + "A")
    ]
    assert [answer.status_code for answer in foreign] == [400] * 5


@dataclass
class Mirror:
    """Keeps the highest version of each article; a retraction wins over the version that it carries."""

    cursor: str = "0"
    held: dict[str, tuple[int, bool, str | None]] = field(default_factory=dict)
    restarts: int = 0

    def take(self, page: dict[str, Any]) -> None:
        self.cursor = page["next"]
        self.restarts += page["restarted"]
        for event in page["events"]:
            data = event["data"]
            state = data["version"], event["type"] != PUBLISHED, data.get("title")
            known = self.held.get(data["id"])
            if known is None or state[:2] > known[:2]:
                self.held[data["id"]] = state

    @property
    def published(self) -> dict[str, tuple[int, str | None]]:
        return {name: (version, title) for name, (version, gone, title) in self.held.items() if not gone}


async def test_mirrors_equal_the_records_despite_concurrent_changes(site: Site) -> None:
    chance = random.Random(7)
    truth: dict[str, tuple[int, str | None]] = {}
    retracted: list[str] = []
    titles = 0

    async def write_once() -> None:
        nonlocal titles
        titles += 1
        title = f"Title {titles}"
        move = chance.random()
        if move < 0.4 or not truth:
            article = await site.publish(title)
            truth[article["id"]] = 1, title
        elif move < 0.7:
            name = chance.choice(list(truth))
            truth[name] = await site.change(name, title), title
        elif move < 0.9 or not retracted:
            name = chance.choice(list(truth))
            await site.retract(name)
            del truth[name]
            retracted.append(name)
        else:
            name = retracted.pop(chance.randrange(len(retracted)))
            truth[name] = await site.change(name, title), title

    for _ in range(50):
        await write_once()
    writing = True

    early, small, slow = Mirror(), Mirror(), Mirror()
    slow_may_read, slow_is_behind = asyncio.Event(), asyncio.Event()

    async def trimmed_past_slow() -> bool:  # once the fan-out has handled what slow has not read
        await trim(site.redis, site.keys, timedelta(0), now_ms=2**43)
        gone = await site.redis.get(site.keys.trimmed)
        return parse_position((gone or b"0-0").decode()) > parse_position(slow.cursor)

    async def write() -> None:
        nonlocal writing
        for number in range(120):
            await write_once()
            if number % 20 == 19:
                await asyncio.wait_for(slow_is_behind.wait(), 60)
                await write_once()
                await until(trimmed_past_slow, 60)
                slow_is_behind.clear()
                slow_may_read.set()
        writing = False

    async def follow(mirror: Mirror, limit: int) -> None:
        while True:
            done = not writing
            page = await site.page(mirror.cursor, limit=limit)
            mirror.take(page)
            if done and not page["more"]:
                return
            await asyncio.sleep(0.01)

    async def follow_slowly(mirror: Mirror) -> None:
        """Read to the end, concurrently with the writer; then continue only after the position is trimmed."""
        while writing:
            page = await site.page(mirror.cursor, limit=40)
            mirror.take(page)
            if not page["more"]:
                slow_is_behind.set()
                await asyncio.wait_for(slow_may_read.wait(), 60)
                slow_may_read.clear()
        await follow(mirror, 40)

    await asyncio.gather(write(), follow(early, 100), follow(small, 4), follow_slowly(slow))
    for mirror in (early, small, slow):
        assert mirror.published == truth
    assert slow.restarts >= 6
    late = Mirror()
    while True:
        page = await site.page(late.cursor)
        late.take(page)
        if not page["more"]:
            break
    assert late.published == truth


async def test_the_loop_in_the_documentation_mirrors_everything(site: Site) -> None:
    document = Path(__file__).parents[2] / "docs" / "subscribers.md"
    [loop] = [code for code in re.findall(r"```python\n(.*?)```", document.read_text(), re.DOTALL) if "cursor" in code]
    rounds = loop.replace("while True:", "for _ in rounds:").replace('"wait": 30', '"limit": 2')
    kept, erased, changed = [await site.publish(title) for title in ("Kept", "Erased", "To be changed")]
    known: dict[str, Any] = {"httpx": httpx, "site": site.url, "rounds": range(3)}
    await asyncio.to_thread(exec, rounds, known)
    assert len(known["held"]) == 3
    await site.change(changed["id"], "Changed")
    await site.retract(erased["id"])
    again = rounds.replace('cursor, held = "0", {}', "")
    await asyncio.to_thread(exec, again, known)
    assert {name: (version, gone) for name, (version, gone, _) in known["held"].items()} == {
        kept["id"]: (1, False),
        erased["id"]: (1, True),
        changed["id"]: (2, False),
    }


async def test_erased_articles_do_not_come_back(site: Site) -> None:
    start = (await site.page())["next"]
    gone = await site.publish("Zephyrine vessel")
    half_way = (await site.page("0", limit=1))["next"]
    await site.publish("Another")
    await site.change(gone["id"], "Zephyrine vessel again")
    await site.retract(gone["id"])
    for after in ("0", "1-0", start, half_way, f"{2**43}-0"):
        answer = await site.http.get("/v1/events", params={"after": after})
        assert "ephyrine" not in answer.text, after
    async with following(site.url, since="2001-01-01T00:00:00Z") as reader:
        await until(lambda: f"{gone['id']}.2.retracted" in reader.ids)
        assert not [event for event in reader.events if "ephyrine" in event.data]


async def test_cursors_round_trip(redis: Redis, keys: Keyspace) -> None:
    tokens = SignedTokens(redis, keys)
    for place in ((0, 0), (12, 3), RecordsPosition((5, 6), True, 7, "a1"), RecordsPosition((0, 0), False)):
        assert await read_cursor(await write_cursor(place, tokens, ["x"]), tokens, ["x"]) == place
