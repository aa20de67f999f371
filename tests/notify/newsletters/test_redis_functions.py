"""Each Redis function of newsletters by itself: what it returns and changes, called with its named arguments."""

from typing import Any

import pytest
from redis.asyncio import Redis

from newswire.keys import Keyspace
from newswire_notify.newsletters.repository import Newsletters

NOW = 1_800_000_000_000
HOUR = 3_600_000
DIGEST: dict[str, Any] = {"kind": "digest", "priority": 2, "fields": {"local_date": "2027-01-15", "to": "7"}}


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
    about = {"state": "active", "newsletter": "n1", "group": "instant", "address_hash": f"h-{id_}"}
    about |= {"topics": "[]", "address": f"{id_}@example.org"}
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
    limits = {"rates": {}, "default_rate": rate, "per_domain": 9, "day": "", "day_limit": 0, "midnight": 0}
    named = {"connections": [{"name": "c1", "limit": 10}], "now": now, "lease": 60_000}
    claimed, _wait, _slowed = await store.call("claim_mails", **named | limits | changes)
    return claimed[0]


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


async def test_read_items_returns_what_matched_between_two_numbers(store: Newsletters) -> None:
    await create(store)
    for article, corrected in (("a1", False), ("a2", False), ("a3", False), ("a1", True)):
        named = {"newsletter": "n1", "article": article, "topics": f'["{article}"]', "now": NOW, "corrected": corrected}
        await store.call("add_item", **named)
    read = await store.call("read_items", newsletter="n1", after=1, last=4)
    assert read == [[b"a2", b"2", b"a3", b"3"], [b"a1", b"4"], [b'["a2"]', b'["a3"]', b'["a1"]']]
    assert await store.call("read_items", newsletter="n1", after=4, last=9) == [[], [], []]
    assert await store.call("read_items", newsletter="none", after=0, last=9) == [[], [], []]


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


async def expand(store: Newsletters, now: int = NOW, **changes: Any) -> Any:
    named = {"limit": 2, "now": now, "min_interval": 12 * HOUR, "max_lateness": 6 * HOUR, "jitter": 0}
    return await store.call("expand_issues", **named | changes)


async def planned(store: Newsletters, issue: str = "i1") -> set[str]:
    return set(await fields(store, "newsletter_issue_mails", issue))


async def test_expand_issues_goes_through_an_audience_in_steps(store: Newsletters) -> None:
    for number, chosen in enumerate(("[]", '["Ferries"]', '["Sport"]')):
        await add_subscriber(store, f"s{number}", topics=chosen)
    await open_issue(store)
    assert [await expand(store) for _ in range(3)] == [[2, 1], [0, 0], [0, 0]]
    assert await planned(store) == {"s0", "s1"}
    issue = await fields(store, "newsletter_issue", "i1")
    assert (issue["planned"], issue["expanded"]) == ("2", "1")


async def test_expand_issues_plans_several_issues_in_a_step_the_most_urgent_first(store: Newsletters) -> None:
    for number in range(3):
        await add_subscriber(store, f"s{number}", topics="[]")
    await open_issue(store, "later", **DIGEST)
    await open_issue(store, "first")
    await open_issue(store, "unknown")
    await store.redis.delete(store.keys.key("newsletter_issue", "unknown"))
    assert await expand(store, limit=4) == [4, 1]
    assert await planned(store, "first") == {"s0", "s1", "s2"}
    assert await planned(store, "later") == {"s0"}
    assert await expand(store, limit=4) == [2, 0]
    assert await planned(store, "later") == {"s0", "s1", "s2"}


async def test_expand_issues_puts_each_mail_into_the_queue_of_its_domain(store: Newsletters) -> None:
    for number, domain in enumerate(("a.example", "B.example", "a.example")):
        await add_subscriber(store, f"s{number}", topics="[]", address=f"r@{domain}")
    await open_issue(store)
    await expand(store, limit=9)
    for domain, expected in (("a.example", [b"i1|s0", b"i1|s2"]), ("b.example", [b"i1|s1"])):
        assert await store.redis.zrange(store.keys.key("newsletter_due", "1", domain), 0, -1) == expected
    due = await store.redis.zrange(store.keys.key("newsletter_domains_due", "1"), 0, -1, withscores=True)
    assert due == [(b"a.example", NOW), (b"b.example", NOW)]


async def test_expand_issues_spreads_digests_and_leaves_a_mail_that_is_planned(store: Newsletters) -> None:
    names = [f"sr_01k0000000000000000000{each}" for each in ("0000", "zzzz", "4m2x")]
    for name in names:
        await add_subscriber(store, name, topics="[]", address="r@a.example")
    await open_issue(store, **DIGEST)
    await store.redis.hset(store.keys.key("newsletter_issue_mails", "i1"), names[0], "accepted|1|1|0|7")
    assert await expand(store, limit=9, jitter=1000) == [2, 0]
    queue = await store.redis.zrange(store.keys.key("newsletter_due", "2", "a.example"), 0, -1, withscores=True)
    assert {member.decode().partition("|")[2] for member, _ in queue} == set(names[1:])
    assert all(NOW <= score < NOW + 1000 for _, score in queue)
    assert len({score for _, score in queue}) == 2
    first = await store.redis.zscore(store.keys.key("newsletter_domains_due", "2"), "a.example")
    assert first == min(score for _, score in queue)


async def test_expand_issues_skips_readers_for_whom_nothing_is_new(store: Newsletters) -> None:
    await add_subscriber(store, "s1", topics="[]")
    await add_subscriber(store, "s2", topics="[]")
    for name, seq in (("s1", "7"), ("s2", "8")):  # the second one signed up while the digest was open
        await store.redis.hset(store.keys.key("newsletter_subscriber", name), "seq", seq)
    await open_issue(store, **DIGEST)
    assert await expand(store, limit=9) == [0, 0]
    found = await fields(store, "newsletter_subscriber", "s2")
    assert (found["seq"], "last_date" in found) == ("8", False)


async def test_expand_issues_leaves_a_digest_that_is_too_late_to_the_next_one(store: Newsletters) -> None:
    for number in range(3):
        await add_subscriber(store, f"s{number}", topics="[]")
    await open_issue(store, **DIGEST)
    await open_issue(store, "alert")
    assert await expand(store, NOW + 6 * HOUR, limit=4) == [4, 1]
    assert await expand(store, NOW + 6 * HOUR + 1, limit=4) == [0, 0]
    assert await planned(store) == {"s0"}
    assert "last_date" not in await fields(store, "newsletter_subscriber", "s1")


async def test_expand_issues_stops_when_the_newsletter_is_deleted(store: Newsletters) -> None:
    await create(store)
    for number in range(3):
        await add_subscriber(store, f"s{number}", topics="[]")
    await open_issue(store)
    assert await expand(store) == [2, 1]
    await store.call("delete_newsletter", id="n1", account="Post")
    assert await expand(store) == [0, 0]
    assert len(await planned(store)) == 2
    assert await open_issue(store, "i2") == 0
    add = {"newsletter": "n1", "article": "a1", "topics": "[]", "corrected": False}
    assert await store.call("add_item", **add) == b"0"
    assert await store.redis.exists(store.keys.key("newsletter_items", "n1")) == 0


async def test_erase_deleted_leaves_nothing_but_what_must_outlive_it(store: Newsletters) -> None:
    await create(store)
    for number in range(3):
        await add_subscriber(store, f"s{number}", topics="[]")
    await store.redis.hset(store.keys.key("newsletter_suppressed", "n1"), "h-gone", "{}")
    await open_issue(store)
    await expand(store)
    await store.call("delete_newsletter", id="n1", account="Post")
    assert [await store.call("erase_deleted", newsletter="n1", limit=2) for _ in range(5)] == [1, 2, 1, 0, 0]
    assert await claim(store) == []  # what was queued has no state any more
    kept = {
        name.decode().removeprefix(store.keys.prefix) async for name in store.redis.scan_iter(f"{store.keys.prefix}*")
    }
    assert kept == {"newsletter:n1", "newsletter_slugs", "newsletters_changed", "newsletter_suppressed:n1"}


async def test_take_mail_progress_takes_the_changed_numbers_of_alerts_once(store: Newsletters) -> None:
    await create(store)
    await add_subscriber(store, "s1", topics="[]")
    await open_issue(store, fields={"article": "a1", "topics": "[]"})
    await open_issue(store, "digest", **DIGEST)
    await expand(store)
    await store.redis.sadd(store.keys.key("newsletter_progressed"), "expired")

    async def take() -> Any:
        return await store.call("take_mail_progress", limit=9, fields=["planned", "accepted", "bounced", "returned"])

    assert await take() == [[b"i1", b"n1", b"a1", b"1", b"0", b"0", b"0"]]
    assert await take() == []
    await store.redis.hset(store.keys.key("newsletter_issue_mails", "i1"), "s1", "accepted|1|1|0|0")
    await store.call("bounce_mail", issue="i1", subscriber="s1")
    assert await take() == [[b"i1", b"n1", b"a1", b"1", b"0", b"1", b"1"]]


async def test_withdraw_digests_gives_the_items_of_waiting_ones_back(store: Newsletters) -> None:
    await open_issue(store, audience="", **DIGEST)
    states = {"s1": "planned", "s2": "sending", "s3": "deferred", "s4": "accepted", "s5": "cancelled"}
    for name, state in states.items():
        await add_subscriber(store, name)
        await store.redis.hset(store.keys.key("newsletter_subscriber", name), "seq", "7")
        await store.redis.hset(store.keys.key("newsletter_issue_mails", "i1"), name, f"{state}|1|1|3|7")
    for expected in (3, 0):
        assert await store.call("withdraw_digests", issue="i1", subscribers=[*states, "s9"]) == expected
    seqs = {name: (await fields(store, "newsletter_subscriber", name))["seq"] for name in states}
    assert seqs == {"s1": "3", "s2": "3", "s3": "3", "s4": "7", "s5": "7"}
    assert (await fields(store, "newsletter_issue", "i1"))["cancelled"] == "3"
    assert (await fields(store, "newsletter_issue_mails", "i1"))["s2"] == "cancelled|1|1|3|7"


async def test_restore_seq_never_lowers_the_number_of_a_newsletter(store: Newsletters) -> None:
    await store.redis.zadd(store.keys.key("newsletter_items", "n1"), {"a1": 5})
    await store.redis.zadd(store.keys.key("newsletter_corrections", "n1"), {"a1": 9})
    await store.call("restore_seq", newsletter="n1")
    assert await fields(store, "newsletter_seq") == {"n1": "9"}
    await store.redis.hset(store.keys.key("newsletter_seq"), "n1", "12")
    await store.call("restore_seq", newsletter="n1")
    assert await fields(store, "newsletter_seq") == {"n1": "12"}


async def test_open_due_groups_moves_a_group_once_and_keeps_one_that_has_readers(store: Newsletters) -> None:
    schedule, member = store.keys.key("newsletter_schedule"), "n1|daily|07:00|UTC"

    async def open_due(before: int, after: int, issue: str = "") -> dict[bytes, float]:
        opened = (
            {"id": issue, "newsletter": "n1", "audience": member, "now": NOW, "due": NOW, **DIGEST} if issue else {}
        )
        group = {"member": member, "before": before, "after": after, "issue": opened}
        await store.call("open_due_groups", groups=[group])
        return dict(await store.redis.zrange(schedule, 0, -1, withscores=True))

    upcoming = {"group": "daily|07:00|UTC", "due": NOW, "now": NOW - 5}
    await add_subscriber_at(store, "daily|07:00|UTC", upcoming)
    assert await open_due(NOW, NOW + HOUR, "i1") == {member.encode(): NOW + HOUR}
    assert await open_due(NOW, NOW + 9 * HOUR, "i2") == {member.encode(): NOW + HOUR}
    assert await store.redis.exists(store.keys.key("newsletter_issue", "i2")) == 0
    assert await open_due(NOW + HOUR, 0) == {member.encode(): NOW + HOUR}
    await store.call("erase_subscriber", id="s1")
    assert await open_due(NOW + HOUR, 0) == {}


async def test_a_group_of_digests_is_scheduled_with_its_first_reader(store: Newsletters) -> None:
    upcoming = {"group": "daily|07:00|UTC", "due": NOW + HOUR, "now": NOW}
    await add_subscriber_at(store, "daily|07:00|UTC", upcoming)
    changed = {"id": "s1", "fields": {"group": "daily|09:00|UTC"}, "from": ""}
    # The group of the record is not the one that the caller computed the time of.
    await store.call("change_subscriber", **changed, upcoming=upcoming)
    found = await store.redis.zrange(store.keys.key("newsletter_schedule"), 0, -1, withscores=True)
    assert dict(found) == {b"n1|daily|07:00|UTC": NOW + HOUR, b"n1|daily|09:00|UTC": NOW}


async def add_subscriber_at(store: Newsletters, group: str, upcoming: dict[str, Any]) -> None:
    about = {"state": "active", "newsletter": "n1", "group": group, "address_hash": "h", "topics": "[]"}
    named = {"id": "s1", "newsletter": "n1", "hash": "h", "now": NOW, "fields": about, "upcoming": upcoming}
    await store.call("add_subscriber", **named)


@pytest.mark.parametrize(
    ("local_date", "hours_later", "is_planned"),
    [
        ("2027-01-15", 20, False),
        ("2027-01-16", 11, False),
        ("2027-01-16", 12, True),
        # A reader who has moved from east to west does not get the same date again.
        ("2027-01-14", 13, False),
    ],
)
async def test_expand_issues_plans_one_digest_for_a_date_and_none_within_twelve_hours(
    store: Newsletters, local_date: str, hours_later: int, is_planned: bool
) -> None:
    await add_subscriber(store, "s1")
    digest: dict[str, Any] = DIGEST | {"fields": {"topics": "[]", "local_date": "2027-01-15", "to": "7"}}
    await open_issue(store, "first", **digest)
    await expand(store)
    later = NOW + hours_later * HOUR
    digest["fields"] = {"topics": "[]", "local_date": local_date, "to": "9"}
    await open_issue(store, "second", **digest | {"due": later})
    await expand(store, later)
    assert [await planned(store, issue) for issue in ("first", "second")] == [{"s1"}, {"s1"} if is_planned else set()]


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


async def test_claim_mails_claims_for_several_connections_in_their_order(store: Newsletters) -> None:
    await open_issue(store, audience="")
    for number in range(3):
        await add_subscriber(store, f"s{number}", address=f"s{number}@a{number}.example")
        await store.call("plan_mail", issue="i1", subscriber=f"s{number}", due=NOW)
    rate = {"count": 0, "window": 1000}
    named = {"rates": {}, "default_rate": rate, "per_domain": 9, "day": "", "day_limit": 0, "midnight": 0, "now": NOW}
    connections = [{"name": name, "limit": 2} for name in ("c1", "c2", "c3", "c4")]
    claimed, wait, _ = await store.call("claim_mails", connections=connections, lease=60_000, **named)
    assert [[mail[1] for mail in mails] for mails in claimed] == [[b"s0", b"s1"], [b"s2"], []]
    assert wait == 60_000


async def test_bounce_mail_counts_an_accepted_mail_once(store: Newsletters) -> None:
    await open_issue(store, audience="")
    for name in ("s1", "s2"):
        await add_subscriber(store, name, address=f"{name}@example.org")
        await store.call("plan_mail", issue="i1", subscriber=name, due=NOW)
    await claim(store)
    result = {"issue": "i1", "subscriber": "s1", "attempt": 1, "due": 0, "domain": "example.org", "day": ""}
    await settle(store, result | {"state": "accepted"})
    for name in ("s1", "s1", "s2", "s3"):
        await store.call("bounce_mail", issue="i1", subscriber=name)
    found = await fields(store, "newsletter_issue", "i1")
    assert (found["accepted"], found["bounced"]) == ("1", "1")
    states = await fields(store, "newsletter_issue_mails", "i1")
    assert [states[name].partition("|")[0] for name in ("s1", "s2")] == ["bounced", "sending"]


async def test_read_mail_facts_tells_suppressed_addresses(store: Newsletters) -> None:
    await create(store)
    for number in (1, 2):
        await open_issue(store, f"i{number}")
    for name in ("s1", "s2", "s3"):
        await add_subscriber(store, name, address=f"{name}@example.org", language="de", cadence="daily")
    await store.redis.hset(store.keys.key("newsletter_suppressed", "n1"), "h-s2", "{}")
    await store.redis.hset(store.keys.key("newsletter_suppressed", "all"), "h-s3", "{}")
    issues, newsletters, recipients = await store.call(
        "read_mail_facts", issues=["i1", "expired", "i2"], subscribers=["s1", "s2", "s3", "s4"], every="all"
    )
    first, second, third, none = recipients
    assert first == [b"n1", b"s1@example.org", b"active", b"de", b"daily", b"[]", 0]
    assert (second[-1], third[-1], none) == (1, 1, [])
    assert [dict(zip(each[::2], each[1::2], strict=True)).get(b"id") for each in issues] == [b"i1", None, b"i2"]
    assert [dict(zip(each[::2], each[1::2], strict=True))[b"slug"] for each in newsletters] == [b"daily"]
