"""Each Redis function of newsletters by itself: what it returns and changes, called with its named arguments."""

from typing import Any

import pytest
from redis.asyncio import Redis

from newswire.keys import Keyspace
from newswire_notify.newsletters.repository import Newsletters

NOW = 1_800_000_000_000


@pytest.fixture
def store(redis: Redis, namespace: str) -> Newsletters:
    return Newsletters(redis, Keyspace(namespace))


async def fields(store: Newsletters, *parts: str) -> dict[str, str]:
    found = await store.redis.hgetall(store.keys.key(*parts))
    return {name.decode(): value.decode() for name, value in found.items()}


async def create(store: Newsletters, id_: str = "n1", slug: str = "daily", **changes: Any) -> Any:
    named = {"id": id_, "account": "Post", "slug": slug, "document": "{}", "active": True, "now": NOW, "limit": 2}
    return await store.call("create_newsletter", **named | changes)


async def add_subscriber(store: Newsletters, id_: str = "s1", **changes: str) -> Any:
    about = {"state": "active", "newsletter": "n1", "group": "instant", "address_hash": f"h-{id_}", "topics": "[]"}
    named = {"id": id_, "newsletter": "n1", "hash": f"h-{id_}", "now": NOW}
    return await store.call("add_subscriber", fields=about | changes, **named)


async def open_issue(store: Newsletters, id_: str = "i1", **changes: Any) -> Any:
    named = {
        "id": id_,
        "newsletter": "n1",
        "kind": "alert",
        "audience": "n1|instant",
        "priority": 1,
        "now": NOW,
        "due": NOW,
        "fields": {"topics": '["Ferries"]', "local_date": "2027-01-15"},
    }
    return await store.call("open_issue", **named | changes)


async def exchange(store: Newsletters, *results: dict[str, Any], now: int = NOW, limit: int = 10) -> Any:
    return await store.call("settle_and_claim_mails", results=results, now=now, lease=60_000, limit=limit)


async def test_create_newsletter_takes_a_slug_once_and_keeps_the_limit(store: Newsletters) -> None:
    assert await create(store) == b"OK"
    assert await create(store, "n2") == b"SLUG"
    assert await create(store, "n2", "weekly", active=False) == b"OK"
    assert await create(store, "n3", "monthly") == b"LIMIT"
    assert (await fields(store, "newsletter", "n2"))["status"] == "paused"
    assert await store.redis.smembers(store.keys.key("newsletters_active")) == {b"n1"}
    assert await store.changes() == 2


async def test_update_newsletter_refuses_an_old_revision(store: Newsletters) -> None:
    await create(store)
    named = {"id": "n1", "document": '{"a":1}', "active": False}
    assert await store.call("update_newsletter", revision="1", **named) == b"OK"
    assert await store.call("update_newsletter", revision="1", **named) == b"STALE"
    found = await fields(store, "newsletter", "n1")
    assert (found["document"], found["status"], found["revision"]) == ('{"a":1}', "paused", "2")


async def test_delete_newsletter_keeps_the_slug_and_asks_for_the_erasure(store: Newsletters) -> None:
    await create(store)
    assert await store.call("delete_newsletter", id="n1", account="Other") == 0
    assert await store.call("delete_newsletter", id="n1", account="Post") == 1
    assert await store.call("delete_newsletter", id="n1", account="Post") == 0
    assert await create(store, "n2") == b"SLUG"
    assert await store.redis.smembers(store.keys.key("newsletters_deleted")) == {b"n1"}


async def test_add_subscriber_returns_the_one_that_the_address_has(store: Newsletters) -> None:
    assert await add_subscriber(store) == b"s1"
    known = {"id": "s2", "newsletter": "n1", "hash": "h-s1", "now": NOW, "fields": {}}
    assert await store.call("add_subscriber", **known) == b"s1"
    assert await fields(store, "newsletter_counts", "n1") == {"active": "1"}
    assert await store.redis.zrange(store.keys.key("newsletter_audience", "n1|instant"), 0, -1) == [b"s1"]


async def test_change_subscriber_moves_it_only_from_the_states_it_is_for(store: Newsletters) -> None:
    await add_subscriber(store, state="pending")
    assert await store.call("change_subscriber", id="s1", fields={"state": "active"}, **{"from": "|bounced|"}) is None
    assert (
        await store.call("change_subscriber", id="s1", fields={"state": "active"}, **{"from": "|pending|"})
        == b"pending"
    )
    assert await store.call("change_subscriber", id="s9", fields={"state": "active"}, **{"from": ""}) is None
    found = await fields(store, "newsletter_subscriber", "s1")
    assert (found["state"], found["revision"], found["audience"]) == ("active", "2", "n1|instant")
    assert await fields(store, "newsletter_counts", "n1") == {"pending": "0", "active": "1"}


async def test_erase_subscriber_leaves_nothing_of_it(store: Newsletters) -> None:
    await add_subscriber(store)
    assert await store.call("erase_subscriber", id="s1") == b"n1"
    assert await store.call("erase_subscriber", id="s1") is None
    names = (
        "newsletter_subscriber:s1",
        "newsletter_addresses:n1",
        "newsletter_members:n1",
        "newsletter_audience:n1|instant",
    )
    assert await store.redis.exists(*(store.keys.prefix + name for name in names)) == 0


async def test_add_item_numbers_an_article_once_and_its_corrections_again(store: Newsletters) -> None:
    async def add(article: str, *, corrected: bool = False) -> Any:
        named = {"newsletter": "n1", "article": article, "topics": "[]", "now": NOW, "corrected": corrected}
        return await store.call("add_item", **named)

    assert [await add("a1"), await add("a2"), await add("a1")] == [b"1", b"2", b"1"]
    assert await add("a1", corrected=True) == b"1"
    assert await store.redis.zscore(store.keys.key("newsletter_corrections", "n1"), "a1") == 3


async def test_remove_item_forgets_an_article(store: Newsletters) -> None:
    await store.call("add_item", newsletter="n1", article="a1", topics="[]", now=NOW, corrected=False)
    assert await store.call("remove_item", newsletter="n1", article="a1") == 1
    assert await store.call("remove_item", newsletter="n1", article="a1") == 0
    assert await store.redis.exists(store.keys.key("newsletter_item_topics", "n1")) == 0


async def test_open_issue_opens_it_once(store: Newsletters) -> None:
    assert await open_issue(store) == 1
    assert await open_issue(store) == 0
    assert await open_issue(store, "i2", audience="") == 1
    assert await store.redis.zrange(store.keys.key("newsletter_expanding"), 0, -1) == [b"i1"]
    assert (await fields(store, "newsletter_issue", "i1"))["local_date"] == "2027-01-15"


async def test_plan_mail_plans_one_mail_for_each_subscriber(store: Newsletters) -> None:
    assert await store.call("plan_mail", issue="i1", subscriber="s1", due=NOW) == 0
    await open_issue(store, audience="")
    assert [await store.call("plan_mail", issue="i1", subscriber="s1", due=NOW) for _ in range(2)] == [1, 0]
    assert (await fields(store, "newsletter_issue", "i1"))["planned"] == "1"


async def test_expand_issue_goes_through_its_audience_in_steps(store: Newsletters) -> None:
    for number, chosen in enumerate(("[]", '["Ferries"]', '["Sport"]')):
        await add_subscriber(store, f"s{number}", topics=chosen)
    await open_issue(store)
    named = {"issue": "i1", "limit": 2, "now": NOW, "min_interval": 0, "jitter": 0}
    assert [await store.call("expand_issue", **named) for _ in range(2)] == [1, 0]
    assert set(await fields(store, "newsletter_issue_mails", "i1")) == {"s0", "s1"}
    assert await store.call("expand_issue", **named | {"issue": "unknown"}) == 0


async def test_settle_and_claim_mails_claims_for_a_lease_and_refuses_lost_ones(store: Newsletters) -> None:
    await open_issue(store, audience="")
    await store.call("plan_mail", issue="i1", subscriber="s1", due=NOW)
    first = f"{NOW}".encode()
    assert await exchange(store) == [[b"i1", b"s1", b"1", first, b"0", b"0", 0]]
    assert await exchange(store) == []
    ((*_, repeated),) = await exchange(store, now=NOW + 61_000)
    assert repeated == 1
    lost = {"issue": "i1", "subscriber": "s1", "attempt": 1, "state": "sent", "due": 0}
    await exchange(store, lost, limit=0)
    assert "sent" not in await fields(store, "newsletter_issue", "i1")
    await exchange(store, lost | {"attempt": 2}, limit=0)
    assert (await fields(store, "newsletter_issue", "i1"))["sent"] == "1"
    assert await exchange(store, now=NOW + 999_000) == []
