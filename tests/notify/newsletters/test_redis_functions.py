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


async def claim(store: Newsletters, now: int = NOW, **changes: Any) -> Any:
    """Claim mails without any limit of their domains, and return them."""
    rate = {"count": 0, "window": 1000}
    limits = {"rates": {}, "default_rate": rate, "connections": 9, "day": "", "day_limit": 0, "midnight": 0}
    named = {"connection": "c1", "now": now, "lease": 60_000, "limit": 10}
    return (await store.call("claim_mails", **named | limits | changes))[0]


async def settle(store: Newsletters, *results: dict[str, Any], now: int = NOW, **changes: Any) -> Any:
    return await store.call("settle_mails", **{"results": results, "changes": [], "released": [], "now": now} | changes)


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


async def test_attach_subscriber_rebuilds_what_is_derived_from_it(store: Newsletters) -> None:
    await create(store)
    await add_subscriber(store, created=str(NOW))
    await add_subscriber(store, "s2", created=str(NOW), state="pending")
    derived = [
        "newsletter_members:n1",
        "newsletter_audience:n1|instant",
        "newsletter_addresses:n1",
        "newsletter_counts:n1",
    ]
    await store.redis.delete(*(store.keys.prefix + name for name in derived))
    assert [await store.call("attach_subscriber", id=each, expires=NOW + 9) for each in ("s1", "s2", "s3")] == [1, 1, 0]
    assert await store.redis.zscore(store.keys.key("newsletter_audience", "n1|instant"), "s1") == 0
    assert await store.redis.zrange(store.keys.key("newsletter_members", "n1"), 0, -1) == [b"s1", b"s2"]
    assert await fields(store, "newsletter_addresses", "n1") == {"h-s1": "s1", "h-s2": "s2"}
    assert await fields(store, "newsletter_counts", "n1") == {"active": "1", "pending": "1"}
    expiring = store.keys.key("newsletter_expiring")
    assert await store.redis.zrange(expiring, 0, -1, withscores=True) == [(b"s2", NOW + 9)]


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


@pytest.mark.parametrize(
    ("local_date", "hours_later", "planned"),
    [
        ("2027-01-15", 20, False),
        ("2027-01-16", 11, False),
        ("2027-01-16", 12, True),
        # A reader who has moved from east to west does not get the same date again.
        ("2027-01-14", 13, False),
    ],
)
async def test_expand_issue_plans_one_digest_for_a_date_and_none_within_twelve_hours(
    store: Newsletters, local_date: str, hours_later: int, planned: bool
) -> None:
    hour = 3_600_000
    await add_subscriber(store, "s1")
    named = {"limit": 2, "min_interval": 12 * hour, "jitter": 0}
    digest = {"kind": "digest", "due": NOW, "fields": {"topics": "[]", "local_date": "2027-01-15", "to": "7"}}
    await open_issue(store, "first", **digest)
    await store.call("expand_issue", **named, issue="first", now=NOW)
    later = NOW + hours_later * hour
    digest["fields"] = {"topics": "[]", "local_date": local_date, "to": "9"}
    await open_issue(store, "second", **digest | {"due": later})
    await store.call("expand_issue", **named, issue="second", now=later)
    mails = [await fields(store, "newsletter_issue_mails", issue) for issue in ("first", "second")]
    assert [list(each) for each in mails] == [["s1"], ["s1"] if planned else []]


async def test_claim_mails_claims_for_a_lease_and_settle_mails_refuses_lost_ones(store: Newsletters) -> None:
    await add_subscriber(store, address="reader@Example.org")
    await open_issue(store, audience="")
    await store.call("plan_mail", issue="i1", subscriber="s1", due=NOW)
    first = f"{NOW}".encode()
    assert await claim(store) == [[b"i1", b"s1", b"1", first, b"0", b"0", 0, b"example.org", 0, b""]]
    assert await claim(store) == []
    ((*_, repeated, _domain, _level, _day),) = await claim(store, now=NOW + 61_000)
    assert repeated == 1
    lost = {
        "issue": "i1",
        "subscriber": "s1",
        "attempt": 1,
        "state": "sent",
        "due": 0,
        "domain": "example.org",
        "day": "",
    }
    await settle(store, lost)
    assert "sent" not in await fields(store, "newsletter_issue", "i1")
    await settle(store, lost | {"attempt": 2})
    assert (await fields(store, "newsletter_issue", "i1"))["sent"] == "1"
    assert await claim(store, now=NOW + 999_000) == []


async def test_settle_mails_changes_a_domain_only_as_it_was_seen(store: Newsletters) -> None:
    change = {"domain": "example.org", "level": 0, "new_level": 1, "pause": 1000}
    for _ in range(2):
        await settle(store, changes=[change], now=NOW)
    assert await fields(store, "newsletter_slowed") == {"example.org": f"1|{NOW + 1000}"}
    await settle(store, changes=[change | {"level": 1, "new_level": 0}])
    assert await fields(store, "newsletter_slowed") == {}


async def test_count_for_issue_counts_nothing_for_an_expired_one(store: Newsletters) -> None:
    await open_issue(store)
    for issue in ("i1", "i1", "expired"):
        await store.call("count_for_issue", issue=issue, name="unsubscribed")
    assert (await fields(store, "newsletter_issue", "i1"))["unsubscribed"] == "2"
    assert await fields(store, "newsletter_issue", "expired") == {}


async def test_read_recipients_tells_suppressed_addresses(store: Newsletters) -> None:
    for name in ("s1", "s2", "s3"):
        await add_subscriber(store, name, address=f"{name}@example.org", language="de", cadence="daily")
    await store.redis.hset(store.keys.key("newsletter_suppressed", "n1"), "h-s2", "{}")
    await store.redis.hset(store.keys.key("newsletter_suppressed", "all"), "h-s3", "{}")
    first, second, third, none = await store.call("read_recipients", ids=["s1", "s2", "s3", "s4"], every="all")
    assert first == [b"n1", b"s1@example.org", b"active", b"de", b"daily", b"[]", 0]
    assert (second[-1], third[-1], none) == (1, 1, [])
