"""Each Redis function of users by itself: what it returns and changes, called with its named arguments."""

from typing import Any

import pytest
from redis.asyncio import Redis

from newswire.keys import Keyspace
from newswire.users.records import user_functions

NOW = 1_800_000_000_000
WEEK = 7 * 86_400
IDENTITY = '{"subject":"s","digest":"d"}'
USABLE = {"passkeys": True, "issuers": ["i", "i/"]}


class Store:
    """The functions on one namespace."""

    def __init__(self, redis: Redis, keys: Keyspace) -> None:
        self.redis = redis
        self.key = keys.key
        self._functions = user_functions(redis, keys)

    async def call(self, function: str, *names: str, **arguments: Any) -> Any:
        return await self._functions.call(function, list(names), arguments)

    async def create(self, user: str = "u1", email: str = "ida@harbour.example") -> Any:
        names = [self.key("user", user), self.key("users"), self.key("user-emails"), self.key("users", "of", "Post")]
        fields = {"id": user, "email": email, "revision": "1", "memberships": '{"Post":["editor"]}'}
        return await self.call("create_user", *names, id=user, email=email, fields=fields)

    async def update(self, revision: str = "1", **changes: Any) -> Any:
        named = {
            "id": "u1",
            "revision": revision,
            "fields": {},
            "email": "ida@harbour.example",
            "joined": [],
            "left": [],
        }
        named |= {"new_email": "ida@harbour.example", "account_prefix": self.key("users", "of", "")}
        return await self.call("update_user", self.key("user", "u1"), self.key("user-emails"), **named | changes)

    async def start(self, session: str, now: int = NOW, limit: int = 9) -> Any:
        names = [self.key("session", session), self.key("sessions", "of", "u1"), self.key("user", "u1")]
        fields = {"user": "u1", "seen": str(now), "ends": str(now + 1000 * WEEK), "authenticated": str(now)}
        named = {"now": str(now), "ends": str(now + 1000 * WEEK), "idle_seconds": WEEK, "max_sessions": limit}
        prefix = self.key("session", "")
        return await self.call("start_session", *names, id=session, fields=fields, session_prefix=prefix, **named)

    async def use(self, session: str, now: int = NOW) -> Any:
        named = {"now": now, "idle_seconds": WEEK, "seen_interval": 60_000, "user_prefix": self.key("user", "")}
        named |= {"account_prefix": self.key("account", "")}
        return await self.call("use_session", self.key("session", session), **named)

    async def sessions(self) -> set[bytes]:
        return set(await self.redis.zrange(self.key("sessions", "of", "u1"), 0, -1))


@pytest.fixture
def store(redis: Redis, namespace: str) -> Store:
    return Store(redis, Keyspace(namespace))


async def test_create_user_takes_an_address_once(store: Store) -> None:
    assert await store.create() == 1
    assert await store.create("u2") == 0
    assert await store.redis.exists(store.key("user", "u2")) == 0
    assert await store.redis.zrange(store.key("users", "of", "Post"), 0, -1) == [b"u1"]


async def test_update_user_refuses_an_old_revision_and_an_address_that_is_taken(store: Store) -> None:
    assert await store.update() == b"MISSING"
    await store.create()
    await store.create("u2", "jon@harbour.example")
    assert await store.update(new_email="jon@harbour.example", fields={"name": "Ida"}) == b"TAKEN"
    assert await store.redis.hget(store.key("user", "u1"), "name") is None
    assert await store.update(new_email="i@harbour.example", joined=["Tide"], left=["Post"], fields={"x": "1"}) == b"OK"
    assert await store.update() == b"CHANGED"
    emails = await store.redis.hgetall(store.key("user-emails"))
    assert emails == {b"i@harbour.example": b"u1", b"jon@harbour.example": b"u2"}
    assert await store.redis.zrange(store.key("users", "of", "Post"), 0, -1) == [b"u2"]
    assert await store.redis.zrange(store.key("users", "of", "Tide"), 0, -1) == [b"u1"]
    assert await store.update("2", email="i@harbour.example", new_email="i@harbour.example", fields={"x": ""}) == b"OK"
    assert await store.redis.hget(store.key("user", "u1"), "x") is None


async def test_delete_user_removes_its_sessions_too(store: Store) -> None:
    await store.create()
    await store.start("s1")
    names = [store.key("user", "u1"), store.key("users"), store.key("user-emails"), store.key("sessions", "of", "u1")]
    named = {"id": "u1", "email": "ida@harbour.example", "accounts": ["Post"]}
    named |= {"account_prefix": store.key("users", "of", ""), "session_prefix": store.key("session", "")}
    names += [store.key("passkeys", "of", "u1"), store.key("identities", "of", "u1"), store.key("identities")]
    await store.call("link_identity", names[0], names[6], names[5], id="u1", digest="d", issuer="i", identity=IDENTITY)
    assert await store.call("delete_user", *names, **named) == 1
    assert [name async for name in store.redis.scan_iter(store.key("*"))] == []
    assert await store.call("delete_user", *names, **named) == 0


async def test_start_session_ends_the_oldest_beyond_the_limit_and_needs_a_user(store: Store) -> None:
    assert await store.start("s0") == 0
    assert await store.redis.exists(store.key("session", "s0")) == 0
    await store.create()
    for number in range(3):
        assert await store.start(f"s{number}", NOW + number, limit=2) == 1
    assert await store.sessions() == {b"s1", b"s2"}
    assert await store.redis.exists(store.key("session", "s0")) == 0
    assert await store.redis.hget(store.key("user", "u1"), "last_sign_in") == str(NOW + 2).encode()


async def test_use_session_returns_session_and_user_until_it_ends(store: Store) -> None:
    await store.create()
    await store.start("s1")
    session, user, disabled = await store.use("s1", NOW + 61_000)
    assert disabled == []
    assert b"u1" in session
    assert b"ida@harbour.example" in user
    assert await store.redis.hget(store.key("session", "s1"), "seen") == str(NOW + 61_000).encode()
    assert await store.use("s1", NOW + 61_000 + WEEK * 1000) is None
    assert await store.use("none") is None
    await store.redis.hset(store.key("user", "u1"), "disabled_at", "2027-01-15")
    assert await store.use("s1", NOW + 62_000) is None


async def test_use_session_names_the_disabled_accounts_of_its_user(store: Store) -> None:
    await store.create()
    await store.start("s1")
    await store.redis.hset(store.key("account", "Post"), "disabled_at", "2027-01-15")
    await store.redis.hset(store.key("account", "Tide"), "disabled_at", "2027-01-15")
    assert (await store.use("s1"))[2] == [b"Post"]


async def test_confirm_identity_does_not_revive_a_session(store: Store) -> None:
    await store.create()
    await store.start("s1")
    await store.call("confirm_identity", store.key("session", "s1"), now=str(NOW + 5))
    assert await store.redis.hget(store.key("session", "s1"), "authenticated") == str(NOW + 5).encode()
    await store.call("confirm_identity", store.key("session", "gone"), now=str(NOW))
    assert await store.redis.exists(store.key("session", "gone")) == 0


async def test_end_session_ends_only_those_of_its_user(store: Store) -> None:
    await store.create()
    await store.start("s1")
    names = [store.key("session", "s1"), store.key("sessions", "of", "u1")]
    assert await store.call("end_session", *names, id="s1", user="u2") == 0
    assert await store.call("end_session", *names, id="s1", user="u1") == 1
    assert await store.sessions() == set()


async def test_end_sessions_keeps_one(store: Store) -> None:
    await store.create()
    for name in ("s1", "s2", "s3"):
        await store.start(name)
    named = {"session_prefix": store.key("session", ""), "but": "s2"}
    assert await store.call("end_sessions", store.key("sessions", "of", "u1"), **named) == 2
    assert await store.sessions() == {b"s2"}


async def test_count_failures_counts_in_each_for_a_time(store: Store) -> None:
    names = [store.key("sign-in-failures", name) for name in ("a", "b")]
    assert await store.call("count_failures", *names, seconds=[60, 3600]) == [1, 1]
    assert await store.call("count_failures", names[0], seconds=[60]) == [2]
    assert 0 < await store.redis.ttl(names[0]) <= 60 < await store.redis.ttl(names[1])


async def test_add_mail_request_adds_one_while_there_is_room(store: Store) -> None:
    add = {"now": NOW, "max": 1}
    assert await store.call("add_mail_request", store.key("user-mails"), request="a", **add) == 1
    assert await store.call("add_mail_request", store.key("user-mails"), request="b", **add) == 0
    assert await store.redis.zrange(store.key("user-mails"), 0, -1, withscores=True) == [(b"a", float(NOW))]


async def test_claim_mail_requests_leases_what_is_due(store: Store) -> None:
    await store.redis.zadd(store.key("user-mails"), {"a": NOW - 1, "b": NOW, "c": NOW + 1})
    claim = {"lease": 1000, "limit": 1}
    assert await store.call("claim_mail_requests", store.key("user-mails"), now=NOW, **claim) == [b"a"]
    assert await store.call("claim_mail_requests", store.key("user-mails"), now=NOW, **claim) == [b"b"]
    assert await store.call("claim_mail_requests", store.key("user-mails"), now=NOW, **claim) == []
    assert await store.redis.zscore(store.key("user-mails"), "a") == NOW + 1000


async def test_add_passkey_takes_each_once_up_to_a_number_and_needs_a_user(store: Store) -> None:
    names = [store.key("user", "u1"), store.key("passkeys", "of", "u1")]
    assert await store.call("add_passkey", *names, id="a", passkey="1", max=2) == b"MISSING"
    await store.create()
    assert await store.call("add_passkey", *names, id="a", passkey="1", max=2) == b"OK"
    assert await store.call("add_passkey", *names, id="a", passkey="2", max=2) == b"TAKEN"
    assert await store.call("add_passkey", *names, id="b", passkey="2", max=2) == b"OK"
    assert await store.call("add_passkey", *names, id="c", passkey="3", max=2) == b"FULL"
    assert await store.redis.hgetall(names[1]) == {b"a": b"1", b"b": b"2"}


async def test_replace_passkey_needs_the_one_that_was_read(store: Store) -> None:
    name = store.key("passkeys", "of", "u1")
    assert await store.call("replace_passkey", name, id="a", before="1", after="2") == 0
    await store.redis.hset(name, "a", "1")
    assert await store.call("replace_passkey", name, id="a", before="1", after="2") == 1
    assert await store.call("replace_passkey", name, id="a", before="1", after="3") == 0
    assert await store.redis.hget(name, "a") == b"2"


async def test_remove_passkey_keeps_the_last_credential(store: Store) -> None:
    names = [store.key("user", "u1"), store.key("passkeys", "of", "u1"), store.key("identities", "of", "u1")]
    await store.create()
    await store.redis.hset(names[1], mapping={"a": "1", "b": "2"})
    assert await store.call("remove_passkey", *names, id="c", usable=USABLE) == b"MISSING"
    assert await store.call("remove_passkey", *names, id="a", usable=USABLE) == b"OK"
    assert await store.call("remove_passkey", *names, id="b", usable=USABLE) == b"LAST"
    await store.redis.hset(names[2], "j", IDENTITY)
    assert await store.call("remove_passkey", *names, id="b", usable=USABLE) == b"LAST", "the provider j is not used"
    await store.redis.hset(names[0], "password", "x")
    assert await store.call("remove_passkey", *names, id="b", usable=USABLE) == b"OK"


async def test_remove_password_keeps_a_credential_that_works(store: Store) -> None:
    names = [store.key("user", "u1"), store.key("passkeys", "of", "u1"), store.key("identities", "of", "u1")]
    await store.create()
    assert await store.call("remove_password", *names, usable=USABLE) == b"MISSING"
    await store.redis.hset(names[0], "password", "x")
    await store.redis.hset(names[1], "a", "1")
    await store.redis.hset(names[2], "i", IDENTITY)
    none = {"passkeys": False, "issuers": []}
    assert await store.call("remove_password", *names, usable=none) == b"LAST", "neither works here any more"
    before = await store.redis.hget(names[0], "revision")
    assert await store.call("remove_password", *names, usable=none | {"issuers": ["i"]}) == b"OK"
    assert await store.redis.hmget(names[0], "password", "revision") == [None, str(int(before or 0) + 1).encode()]


async def test_link_identity_links_one_person_of_an_issuer_to_one_user(store: Store) -> None:
    def names(user: str) -> list[str]:
        return [store.key("user", user), store.key("identities"), store.key("identities", "of", user)]

    named = {"issuer": "i", "digest": "d", "identity": IDENTITY}
    assert await store.call("link_identity", *names("u1"), id="u1", **named) == b"MISSING"
    await store.create()
    await store.create("u2", "jon@harbour.example")
    for status in (b"OK", b"KNOWN"):
        assert await store.call("link_identity", *names("u1"), id="u1", **named) == status
    assert await store.call("link_identity", *names("u2"), id="u2", **named) == b"TAKEN"
    assert await store.call("link_identity", *names("u1"), id="u1", **named | {"digest": "e"}) == b"TAKEN"
    assert await store.redis.hgetall(store.key("identities")) == {b"d": b"u1"}


async def test_unlink_identity_keeps_the_last_credential(store: Store) -> None:
    names = [store.key("user", "u1"), store.key("identities"), store.key("identities", "of", "u1")]
    passkeys = store.key("passkeys", "of", "u1")
    await store.create()
    assert await store.call("unlink_identity", *names, passkeys, issuer="i", usable=USABLE) == b"MISSING"
    await store.call("link_identity", *names, id="u1", issuer="i", digest="d", identity=IDENTITY)
    assert await store.call("unlink_identity", *names, passkeys, issuer="i", usable=USABLE) == b"LAST"
    await store.redis.hset(passkeys, "a", "1")
    assert await store.call("unlink_identity", *names, passkeys, issuer="i", usable=USABLE) == b"OK"
    assert await store.redis.exists(*names[1:]) == 0
