"""Changing, pausing, listing and previewing subscriptions, and reading their deliveries, over HTTP."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from pydantic import SecretStr
from redis.asyncio import Redis

from newswire.auth.api_keys import create_key
from newswire.auth.credentials import Scope
from newswire.keys import Keyspace
from newswire.observability.audit import read_page
from newswire_notify.settings import NotifySettings
from tests.notify.conftest import Desk, Receiver, until
from tests.notify.notify_server import served
from tests.polling import DEADLINE_SECONDS

pytestmark = pytest.mark.slow

PATH = "/v1/subscriptions"
PATCH = {"Content-Type": "application/merge-patch+json"}


@dataclass
class Owner:
    """An account with a key, at a served notify."""

    http: httpx.AsyncClient
    receiver: Receiver

    async def subscribe(self, path: str = "/a", **members: Any) -> dict[str, Any]:
        draft = {"channel": {"type": "webhook", "url": f"{self.receiver.url}{path}"}} | members
        answer = await self.http.post(PATH, json=draft)
        assert answer.status_code == 201, answer.text
        made: dict[str, Any] = answer.json()
        return made

    async def get(self, path: str, **params: Any) -> Any:
        answer = await self.http.get(f"{PATH}{path}", params=params)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def wait_for(self, subscription: dict[str, Any], **states: str) -> dict[str, dict[str, Any]]:
        """Wait until deliveries are in these states, each named by its article; return them."""
        found: dict[str, dict[str, Any]] = {}

        async def there() -> bool:
            listed = await self.get(f"/{subscription['id']}/deliveries")
            found.update({delivery["article"]: delivery for delivery in listed["deliveries"]})
            return {article: found[article]["state"] for article in found} == states

        await until(there)
        return found


@pytest.fixture
async def owner(
    redis: Redis, redis_url: str, namespace: str, keys: Keyspace, receiver: Receiver
) -> AsyncIterator[Owner]:
    settings = NotifySettings(
        redis_url=SecretStr(redis_url), namespace=namespace, allow_volatile=True, webhook_allow_private=True
    )
    created = await create_key(redis, keys, "Reading Room", {Scope.SUBSCRIBE})
    headers = {"Authorization": f"Bearer {created.token}"}
    async with (
        served(redis, settings) as (url, _),
        httpx.AsyncClient(base_url=url, headers=headers, timeout=DEADLINE_SECONDS) as http,
    ):
        yield Owner(http, receiver)


async def test_changes_honour_if_match(owner: Owner, receiver: Receiver) -> None:
    made = await owner.subscribe(filter={"topics": ["Ferries"], "query": "night"}, labels={"team": "a", "desk": "b"})
    path = f"{PATH}/{made['id']}"
    first = (await owner.http.get(path)).headers["etag"]
    patch = {"filter": {"query": None, "topics": ["Bridges"]}, "labels": {"team": None}, "content": "summary"}
    changed = await owner.http.patch(path, json=patch, headers={"If-Match": first} | PATCH)
    assert changed.status_code == 200, changed.text
    assert changed.json()["filter"] == {"topics": ["Bridges"]}
    assert (changed.json()["labels"], changed.json()["content"]) == ({"desk": "b"}, "summary")
    assert changed.headers["etag"] != first
    late = await owner.http.patch(path, json={"content": "full"}, headers={"If-Match": first})
    assert (late.status_code, late.headers["content-type"]) == (412, "application/problem+json")
    whole = {"channel": {"type": "webhook", "url": f"{receiver.url}/other"}}
    put = await owner.http.put(path, json=whole, headers={"If-Match": changed.headers["etag"]})
    assert put.status_code == 200, put.text
    unchanged = {name: value for name, value in made.items() if name != "secret"}
    replaced = {"channel": whole["channel"], "filter": {}, "labels": {}, "endpoint": put.json()["endpoint"]}
    assert put.json() == unchanged | replaced
    assert (await owner.get(f"/{made['id']}")) == put.json()


WRONG: list[tuple[str, dict[str, Any], str]] = [
    ("PATCH", {"channel": None}, "channel"),
    ("PATCH", {"channel": {"url": "nonsense"}}, "channel.url"),
    ("PATCH", {"filter": {"query": "ferr*"}}, "filter.query"),
    ("PATCH", {"events": ["published"]}, "events"),
    ("PATCH", {"start": "now"}, "start"),
    ("PATCH", {"labels": {"a:b": "c"}}, "labels.a:b"),
    ("PATCH", {"secret": "mine"}, "secret"),
    ("PUT", {"filter": {}}, "channel"),
    ("PUT", {"channel": {"type": "webhook", "url": "nonsense"}}, "channel.url"),
    ("POST", {"start": "1772357400", "channel": {"type": "webhook", "url": "nonsense"}}, "start"),
    ("POST", {"start": "yesterday", "channel": {"type": "webhook", "url": "nonsense"}}, "start"),
]


async def test_invalid_changes_are_named_and_have_no_effect(owner: Owner) -> None:
    made = await owner.subscribe(labels={"team": "a"})
    before = await owner.get(f"/{made['id']}")
    for method, sent, field in WRONG:
        path = PATH if method == "POST" else f"{PATH}/{made['id']}"
        answer = await owner.http.request(method, path, json=sent)
        assert answer.status_code == 422, (sent, answer.text)
        assert not any("[" in error["field"] for error in answer.json()["errors"]), answer.text
        assert any(error["field"].startswith(field) for error in answer.json()["errors"]), (sent, answer.text)
    assert await owner.get(f"/{made['id']}") == before


async def test_a_patch_keeps_headers_that_it_does_not_name(owner: Owner, receiver: Receiver, desk: Desk) -> None:
    made = await owner.subscribe(channel={"type": "webhook", "url": f"{receiver.url}/a", "headers": {"X-Team": "n"}})
    answer = await owner.http.patch(f"{PATH}/{made['id']}", json={"channel": {"url": f"{receiver.url}/b"}})
    assert answer.json()["channel"] == {
        "type": "webhook",
        "url": f"{receiver.url}/b",
        "header_names": ["X-Team"],
    }
    await desk.put("a1")
    await until(lambda: [(got.path, got.headers["X-Team"]) for got in receiver.got] == [("/b", "n")])


async def test_lists_are_filtered_and_paginated(owner: Owner) -> None:
    made = [
        await owner.subscribe(f"/{number}", labels={"team": "even" if number % 2 == 0 else "odd", "n": str(number)})
        for number in range(7)
    ]
    await owner.http.post(f"{PATH}/{made[3]['id']}/pause")
    seen: list[str] = []
    cursor = None
    while True:
        page = await owner.get("", limit=2, **({"cursor": cursor} if cursor else {}))
        seen += [found["id"] for found in page["subscriptions"]]
        assert len(page["subscriptions"]) <= 2
        if (cursor := page["next_cursor"]) is None:
            break
    assert seen == [found["id"] for found in made]

    async def listed(**params: Any) -> list[str]:
        return [found["labels"]["n"] for found in (await owner.get("", **params))["subscriptions"]]

    assert await listed(label="team:odd") == ["1", "3", "5"]
    assert await listed(label=["team:odd", "n:3"]) == ["3"]
    assert await listed(label=["team:odd", "team:even"]) == []
    assert await listed(status="paused") == ["3"]
    assert await listed(url=made[4]["channel"]["url"], channel="webhook") == ["4"]
    for wrong in ({"status": "asleep"}, {"label": "team"}, {"channel": "pigeon"}, {"colour": "red"}):
        assert (await owner.http.get(PATH, params=wrong)).status_code == 422
    cursor = (await owner.get("", limit=1))["next_cursor"]
    for wrong in ({"cursor": "x"}, {"cursor": cursor, "status": "active"}, {"cursor": cursor + "A"}):
        assert (await owner.http.get(PATH, params=wrong)).status_code == 400


async def test_pause_and_resume(owner: Owner, receiver: Receiver, desk: Desk) -> None:
    made = await owner.subscribe()
    path = f"{PATH}/{made['id']}"
    for _ in range(2):
        paused = await owner.http.post(f"{path}/pause")
        assert (paused.status_code, paused.json()["status"]) == (200, "paused")
    await desk.put("a1")
    await desk.put("a2")
    await until(lambda: fanned_out(desk, "a1.1", "a2.1"))
    for _ in range(2):
        resumed = await owner.http.post(f"{path}/resume")
        assert (resumed.status_code, resumed.json()["status"]) == (200, "active")
    await owner.wait_for(made, a1="delivered", a2="delivered")
    assert sorted(receiver.events("/a")) == ["a1.1", "a2.1"]
    receiver.answer("/a", 410)
    await desk.put("a3")
    await until(lambda: disabled(owner, made))
    assert (await owner.http.post(f"{path}/pause")).status_code == 409
    assert (await owner.http.post(f"{path}/resume")).status_code == 409


async def fanned_out(desk: Desk, *events: str) -> bool:
    return await desk.redis.exists(*(desk.keys.deliveries.key("event_plan", event) for event in events)) == len(events)


async def disabled(owner: Owner, made: dict[str, Any]) -> bool:
    return bool((await owner.get(f"/{made['id']}"))["status"] == "disabled")


async def test_a_preview_lists_matches_and_how_far_it_searched(owner: Owner, desk: Desk) -> None:
    for number in range(30):
        await desk.put(f"a{number}", title=f"Ferry number {number}")
    await desk.put("b1", title="The harbour is closed", text="")
    await desk.put("a1", 2, title="Ferry number 1, late")
    await desk.put("a2", 2, title="Nothing of it", text="")
    await desk.put_retraction("a29", 1)
    answer = await owner.http.post(f"{PATH}/preview", json={"filter": {"query": "ferry"}, "limit": 3})
    assert answer.status_code == 200
    seen = answer.json()
    assert [(article["id"], article["version"]) for article in seen["articles"]] == [("a1", 2), ("a28", 1), ("a27", 1)]
    assert seen["articles"][0]["title"] == "Ferry number 1, late"
    assert seen["whole"] is False
    rest = (await owner.http.post(f"{PATH}/preview", json={"filter": {"query": "harbour"}})).json()
    assert ([article["id"] for article in rest["articles"]], rest["looked_at"], rest["whole"]) == (["b1"], 34, True)
    none = (await owner.http.post(f"{PATH}/preview", json={"events": ["corrected", "retracted"]})).json()
    assert none["articles"] == []


async def test_the_progress_of_a_start_in_the_past_can_be_read(owner: Owner, receiver: Receiver, desk: Desk) -> None:
    for number in range(3):
        await desk.put(f"a{number}")
    await until(lambda: fanned_out(desk, "a0.1", "a1.1", "a2.1"))
    start = (datetime.now(UTC) - timedelta(minutes=1)).isoformat()
    made = await owner.subscribe(start=start)
    await owner.wait_for(made, a0="delivered", a1="delivered", a2="delivered")

    async def done() -> bool:
        return bool((await owner.get(f"/{made['id']}/replay"))["state"] == "done")

    await until(done)
    progress = await owner.get(f"/{made['id']}/replay")
    assert (progress["looked_at"], progress["enqueued"]) == (3, 3)
    again = await owner.http.post(f"{PATH}/{made['id']}/replay", json={"since": start})
    assert again.status_code == 202
    assert again.json()["state"] in ("waiting", "running")
    await until(lambda: len(receiver.got) == 6)
    by_event: dict[str, set[str]] = {}
    for got in receiver.got:
        by_event.setdefault(got.event["id"], set()).add(got.headers["webhook-id"])
    assert {event: len(ids) for event, ids in by_event.items()} == {"a0.1": 1, "a1.1": 1, "a2.1": 1}
    assert (await owner.http.post(f"{PATH}/{made['id']}/replay", json={"since": "last week"})).status_code == 422
    assert (await owner.http.post(f"{PATH}/{made['id']}/replay", json={"since": "1772357400"})).status_code == 422


async def test_deliveries_are_listed_filtered_and_read(owner: Owner, receiver: Receiver, desk: Desk) -> None:
    made = await owner.subscribe()
    receiver.answer("/a", 413)
    for number in range(5):
        await desk.put(f"a{number}")
        await until(lambda number=number: fanned_out(desk, f"a{number}.1"))  # type: ignore[misc]
    found = await owner.wait_for(made, **{f"a{number}": "waiting" for number in range(5)})

    async def tried() -> bool:
        page = await owner.get(f"/{made['id']}/deliveries")
        return all(delivery["attempts"] for delivery in page["deliveries"])

    await until(tried)
    path = f"/{made['id']}/deliveries"
    page = await owner.get(path, limit=2)
    seen = [delivery["article"] for delivery in page["deliveries"]]
    while page["next_cursor"]:
        page = await owner.get(path, limit=2, cursor=page["next_cursor"])
        seen += [delivery["article"] for delivery in page["deliveries"]]
    assert sorted(seen, reverse=True) == [f"a{number}" for number in (4, 3, 2, 1, 0)]
    assert len(seen) == 5
    assert [d["article"] for d in (await owner.get(path, article="a3"))["deliveries"]] == ["a3"]
    assert (await owner.get(path, state="dead"))["deliveries"] == []
    assert (await owner.get(path, since="2035-01-01T00:00:00Z"))["deliveries"] == []
    assert len((await owner.get(path, since="2025-01-01T00:00:00Z", state="waiting"))["deliveries"]) == 5
    for wrong in ({"state": "lost"}, {"since": "today"}, {"since": "1772357400"}, {"colour": "red"}):
        assert (await owner.http.get(f"{PATH}{path}", params=wrong)).status_code == 422
    assert (await owner.http.get(f"{PATH}{path}", params={"cursor": "x"})).status_code == 400
    one = await owner.get(f"{path}/{found['a3']['id']}")
    assert (one["article"], one["state"], one["version"]) == ("a3", "waiting", 1)
    [attempt] = (await owner.get(f"{path}/{one['id']}/attempts"))["attempts"]
    assert (attempt["status"], attempt["answer"]) == (413, None)  # it is at a private address
    assert '"content": "summary"' in attempt["advice"]
    assert (await owner.http.get(f"{PATH}{path}/msg_nothing")).status_code == 404


async def test_a_delivery_is_replayed_and_another_cancelled(owner: Owner, receiver: Receiver, desk: Desk) -> None:
    made = await owner.subscribe()
    path = f"{PATH}/{made['id']}/deliveries"
    await desk.put("a1")
    delivered = (await owner.wait_for(made, a1="delivered"))["a1"]
    again = await owner.http.post(f"{path}/{delivered['id']}/replay")
    assert (again.status_code, again.json()["id"]) == (202, delivered["id"])
    await until(lambda: len(receiver.got) == 2)
    assert {got.headers["webhook-id"] for got in receiver.got} == {delivered["id"]}
    assert (await owner.http.post(f"{path}/{delivered['id']}/cancel")).status_code == 409
    receiver.answer("/a", 500)
    await desk.put("a2")
    waiting = (await owner.wait_for(made, a1="delivered", a2="waiting"))["a2"]

    async def tried() -> bool:
        return bool((await owner.get(f"/{made['id']}/deliveries/{waiting['id']}"))["attempts"])

    await until(tried)
    cancelled = await owner.http.post(f"{path}/{waiting['id']}/cancel")
    assert (cancelled.status_code, cancelled.json()["state"]) == (200, "cancelled")
    assert (await owner.http.post(f"{path}/{waiting['id']}/cancel")).status_code == 200
    await desk.put("a1", 2)
    await until(lambda: fanned_out(desk, "a1.2"))
    replaced = await owner.http.post(f"{path}/{delivered['id']}/replay")
    assert (replaced.status_code, "later version" in replaced.json()["detail"]) == (409, True)
    page = await read_page(desk.redis, desk.keys, limit=9)
    acts = [entry.act for entry in page.entries if entry.act.startswith("deliver")]
    assert acts == ["delivery.cancelled", "deliveries.replayed"]
    receiver.answer("/a", 204)
    assert (await owner.http.post(f"{path}/{waiting['id']}/replay")).status_code == 202
    await until(lambda: "a2.1" in receiver.events("/a")[-2:])


async def test_operators_list_pause_resume_and_delete_subscriptions_of_any_account(
    owner: Owner, redis: Redis, keys: Keyspace
) -> None:
    made = await owner.subscribe()
    admin = {"Authorization": f"Bearer {(await create_key(redis, keys, 'Office', {Scope.ADMIN})).token}"}
    path = f"/v1/admin/subscriptions/{made['id']}"
    account = (await owner.http.get(path, headers=admin)).json()["account"]
    listed = await owner.http.get("/v1/admin/subscriptions", params={"account": account}, headers=admin)
    assert [(each["id"], each["account"]) for each in listed.json()["subscriptions"]] == [(made["id"], account)]
    assert made["secret"] not in listed.text
    assert (await owner.http.get(path)).status_code == 403
    assert (await owner.http.post(f"{path}/pause", json={}, headers=admin)).status_code == 422
    paused = await owner.http.post(f"{path}/pause", json={"reason": "it floods us"}, headers=admin)
    assert paused.status_code == 200, paused.text
    seen = await owner.get(f"/{made['id']}")
    assert (seen["status"], seen["status_reason"], seen["status_note"]) == ("paused", "operator", "it floods us")
    assert (await owner.http.post(f"{PATH}/{made['id']}/resume")).status_code == 409
    assert (await owner.http.post(f"{path}/resume", headers=admin)).json()["status"] == "active"
    ended = await owner.http.request("DELETE", path, json={"reason": "it floods us"}, headers=admin)
    assert ended.status_code == 204
    gone = await owner.http.get(f"{PATH}/{made['id']}")
    assert (gone.status_code, gone.json()["detail"]) == (410, "an operator ended this subscription: it floods us")
    assert (await owner.http.get(path, headers=admin)).status_code == 404
    page = await read_page(redis, keys, limit=9, act="subscription.")
    acts = [(entry.act, entry.target, entry.actor.account) for entry in page.entries]
    assert acts == [
        *((act, made["id"], "Office") for act in ("subscription.ended", "subscription.resumed", "subscription.paused")),
        ("subscription.created", made["id"], "Reading Room"),
    ]


async def test_a_filter_names_languages_that_articles_can_have(owner: Owner, redis: Redis, keys: Keyspace) -> None:
    wrong = {"languages": ["de", "english"]}
    draft = {"channel": {"type": "webhook", "url": f"{owner.receiver.url}/a"}, "filter": wrong}
    made = await owner.subscribe(filter={"languages": ["de", "-EN"]})
    path = f"{PATH}/{made['id']}"
    for answer in (
        await owner.http.post(PATH, json=draft),
        await owner.http.put(path, json=draft),
        await owner.http.patch(path, json={"filter": wrong}, headers=PATCH),
        await owner.http.post(f"{PATH}/preview", json={"filter": wrong}),
    ):
        assert answer.status_code == 422
        [error] = answer.json()["errors"]
        assert error["field"] == "filter.languages.1"
        assert "did you mean 'en'?" in error["fix"]


async def test_a_stored_filter_that_would_not_be_accepted_any_more_is_kept(
    owner: Owner, redis: Redis, keys: Keyspace
) -> None:
    made = await owner.subscribe(filter={"languages": ["de"]})
    await redis.hset(keys.deliveries.key("subscription", made["id"]), "filter", '{"languages":["english"]}')
    kept = {"languages": ["english"]}
    assert (await owner.get(f"/{made['id']}"))["filter"] == kept
    changed = await owner.http.patch(f"{PATH}/{made['id']}", json={"content": "summary"}, headers=PATCH)
    assert (changed.status_code, changed.json()["filter"], changed.json()["content"]) == (200, kept, "summary")
