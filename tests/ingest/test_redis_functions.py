"""Each Redis function of ingest by itself: what it returns and changes, called with its named arguments."""

from typing import Any

import pytest
from redis.asyncio import Redis

from newswire.keys import Keyspace
from newswire.storage.redis_functions import FunctionLibrary
from newswire_ingest.articles.repository import publishing_functions
from newswire_ingest.backup.backup import LUA as BACKUP
from newswire_ingest.outcomes.repository import LUA as OUTCOMES

LABELS = "topic\tferries\tFerries\t0\n"


class Store:
    """The functions on one namespace, with the arguments that most tests share."""

    def __init__(self, redis: Redis, keys: Keyspace) -> None:
        self.redis = redis
        self.keys = keys
        self.functions = publishing_functions(redis, keys)
        self.labels = keys.key("labels", "")
        self.media = keys.key("media", "")

    async def fields(self, name: str) -> dict[str, str]:
        return {field.decode(): value.decode() for field, value in (await self.redis.hgetall(name)).items()}

    def common(self, id_: str = "a1", tag: str = "") -> dict[str, str]:
        return {
            "id": id_,
            "expected_tag": tag,
            "fingerprint": f"f-{id_}",
            "now": "2026-01-02T03:04:05Z",
            "now_ms": "1800000000000",
            "schema": "1",
            "lifetime": "60",
        }

    async def write(self, id_: str = "a1", tag: str = "", number: int = 1, record: str = "", **changes: Any) -> Any:
        keys, quota = self.keys, changes.pop("counter", "")
        named: dict[str, Any] = self.common(id_, tag) | {
            "publisher": "p",
            "key": "k1",
            "prefix": keys.article(""),
            "write_token": f"t-{id_}-{number}",
            "quota": "0",
            "external": "",
            "mode": "create" if not tag else "change",
            "action": "publish",
            "number": str(number),
            "source_version": "",
            "published_at": "2026-01-02T03:04:05Z",
            "label_names": self.labels,
            "labels": LABELS,
            "media_names": self.media,
            "media": [],
        }
        names = [
            keys.article(id_),
            keys.version(id_, number),
            record,
            keys.external("p"),
            keys.articles,
            keys.due,
            keys.stream,
            keys.key("key", "k1"),
            quota,
        ]
        texts = [b'{"specversion":"1.0","data":{"title":"A"}}', b'{"title":"A"}', b"\x00stored"]
        return await self.functions.call("write", names, named | changes, texts)

    async def schedule(self, id_: str = "a1", tag: str = "", number: int = 1, due_ms: int = 5, **changes: Any) -> Any:
        later = {"action": "schedule", "due": "2027-01-01T00:00:00Z", "due_ms": str(due_ms)}
        return await self.write(id_, tag, number, **later | changes)

    async def publish_due(self, now: int, limit: int = 10) -> Any:
        keys = self.keys
        named = {
            "now": now,
            "limit": limit,
            "prefix": keys.article(""),
            "label_names": self.labels,
            "accounts": keys.key("account", ""),
        }
        return await self.functions.call("publish_due", [keys.due, keys.articles, keys.stream], named)

    async def retract(self, tag: str, record: str = "", **changes: Any) -> Any:
        keys = self.keys
        named = self.common("a1", tag) | {
            "fingerprint": "f-retract",
            "write_token": "t-retract",
            "label_names": self.labels,
            "media_names": self.media,
            "drafts": keys.key("drafts", "articles", "p"),
            "by": "",
            "readers_field": "readers:1",
            "readers": "",
            "tombstone": '{"reason":"an error"}',
            "event": '{"retracted":true}',
            "audit": "retracted",
            "number": "1",
            "publisher": "p",
            "external": "",
            "archive": "",
        }
        names = [
            keys.article("a1"),
            keys.stream,
            keys.dead_letters_of("a1"),
            keys.key("key", "k1"),
            record,
            keys.articles,
            keys.unindexed_retractions,
            keys.last_erasure,
            keys.audit_log,
            keys.due,
            keys.external("p"),
            keys.archive_erasures,
            keys.archive_totals,
            keys.version("a1", 1),
        ]
        return await self.functions.call("retract", names, named | changes)

    async def cancel(self, tag: str) -> Any:
        keys = self.keys
        names = [
            keys.article("a1"),
            keys.scheduled("a1"),
            keys.due,
            keys.articles,
            keys.external("p"),
            keys.key("key", "k1"),
            "",
            keys.last_erasure,
            keys.audit_log,
        ]
        more = {"media_names": self.media, "audit": "cancelled"}
        return await self.functions.call("cancel", names, self.common("a1", tag) | more)

    async def audited(self) -> list[bytes]:
        return [entry[b"entry"] for _, entry in await self.redis.xrange(self.keys.audit_log)]


@pytest.fixture
async def store(redis: Redis, namespace: str) -> Store:
    found = Store(redis, Keyspace(namespace))
    await redis.hset(found.keys.key("key", "k1"), mapping={"hash": "h", "account": "p"})
    return found


async def test_write_publishes_a_version_with_its_event(store: Store) -> None:
    status, entry = await store.write()
    assert status == b"OK"
    ((entry_id, fields),) = await store.redis.xrange(store.keys.stream)
    assert (entry_id, fields[b"__data__"]) == (entry, b'{"specversion":"1.0","data":{"title":"A"}}')
    version = await store.redis.hgetall(store.keys.version("a1", 1))
    assert (version[b"document"], version[b"entry"], version[b"about"]) == (b"\x00stored", entry, b'{"title":"A"}')
    state = await store.fields(store.keys.article("a1"))
    assert (state["status"], state["version"], state["revision"], state["publisher"]) == ("published", "1", "0", "p")
    assert await store.redis.zscore(store.keys.articles_of("p", "published"), "a1") == 0
    assert await store.redis.zrange(f"{store.labels}topic", 0, -1) == [b"Ferries"]


async def test_write_schedules_without_an_event(store: Store) -> None:
    assert await store.schedule(due_ms=7) == [b"OK", b""]
    state = await store.fields(store.keys.article("a1"))
    assert (state["status"], state["version"], state["revision"]) == ("scheduled", "0", "1")
    assert await store.redis.zscore(store.keys.due, "a1") == 7
    assert await store.redis.exists(store.keys.stream) == 0
    assert (await store.redis.hget(store.keys.scheduled("a1"), "document")) == b"\x00stored"


async def test_write_recognises_its_own_lost_answer(store: Store) -> None:
    first = await store.write()
    assert await store.write() == first
    assert await store.redis.xlen(store.keys.stream) == 1


async def test_write_says_why_it_does_not(store: Store) -> None:
    await store.write()
    assert await store.write(tag="9-9", number=2) == [b"STALE"]
    assert await store.write("a2", labels="topic\tferries\tFERRIES\t0\n") == [b"LABEL_CONFLICT"]
    assert await store.write("a2", external="e1") != [b"EXTERNAL_TAKEN", b"a1"]
    assert await store.write("a3", external="e1") == [b"EXTERNAL_TAKEN", b"a2"]
    await store.redis.hset(store.keys.article("a1"), "retracted_by", "operator")
    assert await store.write(tag="1-0", number=2) == [b"TAKEN_DOWN"]
    await store.redis.hdel(store.keys.key("key", "k1"), "hash")
    assert await store.write("a4") == [b"BARRED"]


async def test_write_counts_several_labels_of_a_kind(store: Store) -> None:
    def lines(*topics: str) -> str:
        return "".join(f"topic\t{each.lower()}\t{each}\t0\n" for each in topics) + "category\tnews\tNews\t0\n"

    assert (await store.write("a1", labels=lines("Ferries", "Bees", "Rents")))[0] == b"OK"
    assert (await store.write("a2", labels=lines("Bees", "Fishing")))[0] == b"OK"
    counts = [(b"Bees", 2), (b"Ferries", 1), (b"Fishing", 1), (b"Rents", 1)]
    assert sorted(await store.redis.zrange(f"{store.labels}topic", 0, -1, withscores=True)) == counts
    forms = [(label.lower(), count) for label, count in counts]
    assert sorted(await store.redis.zrange(f"{store.labels}forms:topic", 0, -1, withscores=True)) == forms
    spelled = [label.lower() + b"\t" + label for label, _ in counts]
    assert await store.redis.zrange(f"{store.labels}spelled:topic", 0, -1) == spelled
    assert await store.redis.zscore(f"{store.labels}category", "News") == 2
    assert (await store.write("a1", "1-0", 2, labels=lines("Bees", "Rents")))[0] == b"OK"
    assert await store.redis.zrange(f"{store.labels}spelled:topic", 0, -1) == [spelled[0], *spelled[2:]]
    assert (await store.fields(f"{store.labels}of:p"))["topic\tbees"] == "2\tBees"


async def test_write_counts_new_articles_against_the_quota(store: Store) -> None:
    counter = store.keys.key("quota", "p", "2026-01-02")
    assert (await store.write("a1", quota="1", counter=counter))[0] == b"OK"
    assert await store.write("a2", quota="1", counter=counter) == [b"OVER_QUOTA"]
    assert (await store.write("a1", "1-0", 2, quota="1", counter=counter))[0] == b"OK"
    assert (await store.redis.get(counter), 0 < await store.redis.ttl(counter) <= 172_800) == (b"1", True)


async def test_write_answers_a_repeat_by_its_idempotency_record(store: Store) -> None:
    record = store.keys.key("idempotency", "d")
    await store.write(record=record)
    assert 0 < await store.redis.ttl(record) <= 60
    assert await store.write("a2", record=record, fingerprint="f-a1") == [b"REPEAT", b"a1"]
    assert await store.write("a2", record=record) == [b"KEY_MISMATCH"]
    await store.redis.delete(store.keys.article("a1"))
    assert await store.write("a2", record=record, fingerprint="f-a1") == [b"CANCELLED", b"a1"]


async def test_publish_due_publishes_in_order_and_says_when_it_goes_on(store: Store) -> None:
    for id_, due in (("a1", 30), ("a2", 10), ("a3", 90)):
        await store.schedule(id_, due_ms=due)
    assert await store.publish_due(50) == [b"90", b"a2", b"10", b"a1", b"30"]
    assert await store.publish_due(50) == [b"90"]
    assert await store.redis.xlen(store.keys.stream) == 2
    state = await store.fields(store.keys.article("a1"))
    assert (state["status"], state["version"], "embargo_until" in state) == ("published", "1", False)
    assert await store.redis.exists(store.keys.scheduled("a1")) == 0


async def test_publish_due_holds_what_became_due_while_its_account_was_disabled(store: Store) -> None:
    await store.schedule("a1", due_ms=30)
    await store.redis.hset(store.keys.key("account", "p"), mapping={"disabled_ms": "20", "enabled_ms": "40"})
    assert await store.publish_due(50) == [b""]
    state = await store.fields(store.keys.article("a1"))
    assert (state["status"], state["held"], state["revision"]) == ("scheduled", "account_disabled", "2")


async def test_retract_erases_everything_and_leaves_a_tombstone(store: Store) -> None:
    await store.write()
    assert (await store.retract("1-0"))[0] == b"OK"
    assert await store.redis.exists(store.keys.version("a1", 1)) == 0
    assert [entry[b"__data__"] for _, entry in await store.redis.xrange(store.keys.stream)] == [b'{"retracted":true}']
    state = await store.fields(store.keys.article("a1"))
    assert (state["status"], state["tombstone"], state["revision"]) == ("retracted", '{"reason":"an error"}', "1")
    assert await store.redis.zrange(store.keys.unindexed_retractions, 0, -1) == [b"a1.1"]
    assert await store.redis.exists(store.keys.last_erasure) == 1
    assert await store.redis.exists(f"{store.labels}topic") == 0


async def test_history_is_the_replication_id_and_nothing_is_written_in_another_one(store: Store) -> None:
    history = await store.functions.call("history", [], {})
    assert history.decode() == (await store.redis.info("replication"))["master_replid"]
    switched = [b"SWITCHED", history]
    assert await store.write(history="other") == switched
    assert (await store.write(history=history.decode()))[0] == b"OK"
    assert await store.retract("1-0", history="other") == switched
    assert (await store.fields(store.keys.article("a1")))["status"] == "published"


@pytest.mark.parametrize("known", ["nothing", "scheduled", "version 1", "version 1, retracted"])
async def test_retract_repeated_for_a_server_that_lost_it_and_versions_before(store: Store, known: str) -> None:
    if known == "scheduled":
        await store.schedule()
    elif known != "nothing":
        await store.write()
    if known.endswith("retracted"):
        await store.retract("1-0", write_token="former")
    lost: dict[str, Any] = {"number": "3", "external": "e1", "repeated": True}
    assert len((await store.retract("3-0", **lost))[1]) > 3
    state = await store.fields(store.keys.article("a1"))
    assert (state["status"], state["version"], state["revision"]) == ("retracted", "3", "1")
    assert await store.redis.zrange(store.keys.articles_of("p", "retracted"), 0, -1) == [b"a1"]
    for gone in (store.keys.articles_of("p", "published"), store.keys.due, store.keys.version("a1", 1)):
        assert not await store.redis.exists(gone)
    assert await store.retract("3-0", **lost) == [b"OK", b""]
    assert (await store.write(tag="3-1", number=4))[0] == b"OK"
    assert await store.retract("3-0", **lost | {"write_token": "other"}) == [b"STALE"]


async def test_retract_says_why_it_does_not_and_repeats_itself(store: Store) -> None:
    record = store.keys.key("idempotency", "d")
    await store.write()
    assert await store.retract("1-7") == [b"STALE"]
    await store.retract("1-0", record, by="operator")
    assert await store.retract("1-0") == [b"OK", b""]
    assert await store.retract("1-1", record, write_token="other") == [b"REPEAT", b"a1"]
    assert await store.retract("1-1", record, write_token="other", fingerprint="other") == [b"KEY_MISMATCH"]
    assert await store.write(tag="1-1", number=2) == [b"TAKEN_DOWN"]
    await store.redis.delete(store.keys.key("key", "k1"))
    assert await store.retract("1-1") == [b"BARRED"]


async def test_retract_leaves_one_entry_in_the_audit_log_and_another_if_an_operator_bars_it(store: Store) -> None:
    await store.write()
    await store.retract("1-7", audit="stale")
    await store.retract("1-0", audit="by its publisher")
    await store.retract("1-1", audit="again", write_token="t2")
    await store.retract("1-1", audit="by an operator", write_token="t3", by="operator")
    await store.retract("1-1", audit="by an operator again", write_token="t4", by="operator")
    assert await store.audited() == [b"by its publisher", b"by an operator"]


async def test_cancel_removes_every_record_of_a_scheduled_article(store: Store) -> None:
    await store.schedule(external="e1")
    assert await store.cancel("0-9") == [b"STALE"]
    assert await store.cancel("0-1") == [b"OK", b""]
    left = {name.decode().removeprefix(store.keys.key("")) async for name in store.redis.scan_iter(store.keys.key("*"))}
    assert left == {"key:k1", "last-erasure", "audit"}
    assert await store.audited() == [b"cancelled"]


async def test_cancel_does_not_touch_a_published_article(store: Store) -> None:
    await store.write()
    assert await store.cancel("1-0") == [b"STALE"]


async def test_release_allows_what_an_operator_retracted(store: Store) -> None:
    await store.write()
    assert await store.functions.call("release", [store.keys.article("a1")], {}) == 0
    await store.retract("1-0", by="operator")
    assert await store.functions.call("release", [store.keys.article("a1")], {}) == 1
    assert (await store.write(tag="1-1", number=2))[0] == b"OK"


async def test_spend_takes_tokens_until_the_bucket_is_empty(store: Store) -> None:
    names = [store.keys.key("rate", "k1"), store.keys.key("quota", "p", "2026-01-02")]

    async def spend(now: int, requests: int = 2) -> Any:
        return await store.functions.call("spend", names, {"now": now, "requests": requests, "window": 1000})

    now = 1_800_000_000_000
    assert await spend(now) == [1, 1, 500, 0]
    assert await spend(now) == [1, 0, 1000, 0]
    assert await spend(now) == [0, 0, 500, 0]
    assert await spend(now + 500) == [1, 0, 1000, 0]
    await store.redis.set(names[1], 7)
    assert await spend(now, requests=0) == [1, 0, 0, 7]


async def test_merge_labels_writes_the_old_one_as_the_new_one(store: Store) -> None:
    async def merge(old: str, new: str, spelling: str) -> Any:
        named = {"kind": "topic", "old": old, "new": new, "spelling": spelling, "names": store.labels, "account": ""}
        return await store.functions.call("merge_labels", [f"{store.labels}merged"], named)

    assert await merge("ferries", "ships", "Ships") == [b"MISSING"]
    await store.write()
    assert await merge("ferries", "ships", "Ships") == [b"OK", b"Ships"]
    assert await merge("ships", "vessels", "Vessels") == [b"OK", b"Vessels"]
    merged = await store.fields(f"{store.labels}merged")
    assert merged == {f"topic\t{form}": "Vessels" for form in ("ferries", "ships", "vessels")}


async def test_merge_labels_of_an_account_looks_at_its_own_labels(store: Store) -> None:
    async def merge(account: str, old: str, new: str, spelling: str) -> Any:
        named = {"kind": "topic", "old": old, "new": new, "spelling": spelling, "names": store.labels}
        return await store.functions.call(
            "merge_labels", [f"{store.labels}merged:{account}"], named | {"account": account}
        )

    await store.write()
    assert await merge("other", "ferries", "ships", "Ships") == [b"MISSING"]
    assert await merge("p", "ferries", "ships", "Ships") == [b"OK", b"Ships"]
    assert await merge("p", "ships", "ferries", "FERRIES") == [b"OK", b"FERRIES"]
    assert await store.fields(f"{store.labels}merged:p") == {"topic\tferries": "FERRIES", "topic\tships": "FERRIES"}


async def test_restore_labels_counts_an_article_once(store: Store) -> None:
    named = {"names": store.labels, "account": "p", "labels": LABELS}
    for _ in range(2):
        await store.functions.call("restore_labels", [store.keys.article("a1")], named)
    assert await store.redis.zscore(f"{store.labels}topic", "Ferries") == 1
    assert await store.fields(f"{store.labels}of:p") == {"topic\tferries": "1\tFerries"}


async def test_note_keeps_the_first_report_of_search_and_the_highest_totals(redis: Redis, namespace: str) -> None:
    keys = Keyspace(namespace)
    functions, first, second = (
        FunctionLibrary.packaged(redis, namespace, OUTCOMES),
        keys.key("outcome", "a1.1"),
        keys.key("outcome", "a2.1"),
    )

    async def note(*reports: tuple[str, str, dict[str, Any]]) -> None:
        listed = [{"kind": kind, "fields": fields} for _, kind, fields in reports]
        await functions.call("note", [record for record, _, _ in reports], {"retention": 60_000, "reports": listed})

    await note(
        (first, "indexed", {"latency_ms": "12.3", "index": "embedded"}),
        (first, "indexed", {"latency_ms": "99.9", "index": "other"}),
        (second, "fanned_out", {"matched": 7, "previously_matched": 0}),
        (first, "progressed", {"delivered": 3, "dead": 1}),
        (first, "progressed", {"delivered": 2, "dead": 1}),
    )
    await note((first, "progressed", {"delivered": 2, "dead": 3}), (second, "progressed", {}))
    await note()
    assert await _stored(redis, first) == {"latency_ms": "12.3", "index": "embedded", "delivered": "2", "dead": "3"}
    assert await _stored(redis, second) == {"matched": "7", "previously_matched": "0"}
    assert 0 < await redis.pttl(first) <= 60_000


async def _stored(redis: Redis, record: str) -> dict[str, str]:
    return {field.decode(): value.decode() for field, value in (await redis.hgetall(record)).items()}


async def test_article_returns_every_record_of_an_article(store: Store) -> None:
    functions = FunctionLibrary.packaged(store.redis, store.keys.namespace, BACKUP)
    assert await functions.call("article", [store.keys.article("a1")], {}) == []
    await store.write()
    await store.schedule("a2")
    found = await functions.call("article", [store.keys.article("a1")], {})
    assert found[::2] == [b"", b":v:1"]
    assert (await functions.call("article", [store.keys.article("a2")], {}))[::2] == [b"", b":scheduled"]


async def test_rest_returns_the_end_of_the_stream_and_what_it_is_about(store: Store) -> None:
    functions = FunctionLibrary.packaged(store.redis, store.keys.namespace, BACKUP)
    names = [store.keys.stream, store.keys.checkpoint("notify")]
    named = {"last": "0-0", "prefix": store.keys.article("")}
    assert await functions.call("rest", names, named) == [b"0-0", b"", [], []]
    _, first = await store.write()
    data = b'{"subject":"a1"}'
    second = await store.redis.xadd(store.keys.stream, {"__data__": data})
    poison = await store.redis.xadd(store.keys.stream, {"__data__": b"not JSON"})
    await store.redis.set(names[1], first)
    last, checkpoint, entries, articles = await functions.call("rest", names, named | {"last": first.decode()})
    assert (last, checkpoint, [entry for entry, _ in entries]) == (poison, first, [second, poison])
    assert (articles[0], articles[1][::2]) == (b"a1", [b"", b":v:1"])
