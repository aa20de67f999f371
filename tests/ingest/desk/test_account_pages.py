"""The pages of an account's labels and API keys."""

import re
from datetime import UTC, datetime, timedelta

import pytest
from ulid import ULID

from newswire.auth.api_keys import create_key, list_keys
from newswire.auth.credentials import Scope, authenticate
from newswire.timestamps import epoch_ms
from newswire.users.roles import Role
from tests.ingest.conftest import ARTICLE
from tests.ingest.users.conftest import SITE, Browser, Desk, MakeUser

ACCOUNT = "Harbour Post"
QUERY = "?account=Harbour+Post"
LABELS, KEYS = "/desk/labels" + QUERY, "/desk/keys" + QUERY
_FORM = re.compile(r'name="act" value="([^"]+)"')
_TOKEN = re.compile(r'id="token">(nw_[a-z0-9_]+)<')


@pytest.fixture
async def admin(desk: Desk, user: MakeUser) -> Browser:
    return await desk.signed_in(await user("ada@harbour.example", Role.ADMIN))


async def publish(desk: Desk, account: str, topics: list[str]) -> list[str]:
    """Publish an article, and return its topics as they were stored."""
    key = await desk.ingest.key(account, Scope.PUBLISH)
    answer = await desk.ingest.http.post("/v1/articles", json=ARTICLE | {"topics": topics}, headers=key)
    assert answer.status_code == 201, answer.text
    found = await desk.ingest.http.get(answer.headers["location"], headers=key)
    written: list[str] = found.json()["topics"]
    return written


async def rename(browser: Browser, old: str, new: str) -> int:
    await browser.get(LABELS)
    return (await browser.post(LABELS, kind="topic", old=old, new=new)).status_code


async def test_a_label_is_renamed_for_its_account_alone(desk: Desk, user: MakeUser) -> None:
    browser = await desk.signed_in(await user("ida@harbour.example", Role.EDITOR))
    await publish(desk, ACCOUNT, ["Ferry", "<b>Tide</b>"])
    await publish(desk, "Valley Post", ["Ferry", "Secret"])
    page = (await browser.get(LABELS)).text
    assert "Ferry" in page
    assert "&lt;b&gt;Tide&lt;/b&gt;" in page
    assert "Secret" not in page
    assert await rename(browser, "FERRY", "Ferries") == 200
    assert "From now on it is written “Ferries”." in browser.page
    assert await publish(desk, ACCOUNT, ["ferry", "Ferries"]) == ["Ferries"]
    assert await publish(desk, "Valley Post", ["ferry"]) == ["Ferry"]
    assert "ferry" in (await browser.get(LABELS + "&text=ferr")).text
    assert await rename(browser, "Ferries", "Boats") == 200
    assert await publish(desk, ACCOUNT, ["ferry"]) == ["Boats"]
    assert await rename(browser, "Unknown", "Boats") == 404
    assert 'value="Unknown"' in browser.page
    assert await rename(browser, "Boats", "x" * 101) == 422


async def test_what_operators_merged_comes_before_what_an_account_merged(desk: Desk, admin: Browser) -> None:
    await publish(desk, ACCOUNT, ["Pier", "Quay"])
    assert await rename(admin, "Pier", "Quay") == 200
    assert await publish(desk, ACCOUNT, ["Pier"]) == ["Quay"]
    operator = await desk.ingest.key("Operations", Scope.ADMIN)
    merged = await desk.ingest.http.post("/v1/topics/merge", json={"old": "Quay", "new": "Wharf"}, headers=operator)
    assert merged.status_code == 200
    assert await publish(desk, ACCOUNT, ["Pier", "Quay", "wharf"]) == ["Wharf"]


async def create(browser: Browser, act: str = "", **fields: str | list[str]) -> str | None:
    """Create a key by the form, and return its token."""
    await browser.get(KEYS)
    found = _FORM.search(browser.page)
    assert found
    await browser.post(KEYS, follow=True, origin=SITE, act=act or found[1], **fields)
    token = _TOKEN.search(browser.page)
    return token[1] if token else None


async def test_a_key_is_created_once_and_revoked(desk: Desk, admin: Browser) -> None:
    ingest = desk.ingest
    form = str(ULID()).lower()
    tokens = {await create(admin, act=form, label="CMS <1>", scopes=["publish", "read", "admin"]) for _ in range(2)}
    [token] = tokens
    assert token is not None
    caller = await authenticate(ingest.redis, ingest.keys, token)
    assert caller is not None
    assert (caller.account, caller.scopes) == (ACCOUNT, frozenset({Scope.PUBLISH, Scope.READ}))
    page = (await admin.get(KEYS)).text
    assert "CMS &lt;1&gt;" in page
    assert token not in page
    [key] = await list_keys(ingest.redis, ingest.keys, account=ACCOUNT)
    assert key.label == "CMS <1>"
    await admin.post(KEYS, revoke=key.id)
    assert await authenticate(ingest.redis, ingest.keys, token) is None
    assert "revoked" in admin.page
    assert await create(admin, label="x" * 201, scopes="publish") is None
    assert await create(admin, label="no scope") is None
    assert await create(admin, act="old", scopes="read") is None
    assert len(await list_keys(ingest.redis, ingest.keys, account=ACCOUNT)) == 1


async def test_keys_of_others_and_of_operators_cannot_be_revoked(desk: Desk, admin: Browser) -> None:
    ingest = desk.ingest
    other = await create_key(ingest.redis, ingest.keys, "Valley Post", {Scope.PUBLISH})
    operator = await create_key(ingest.redis, ingest.keys, ACCOUNT, {Scope.ADMIN})
    assert "managed by the operator" in (await admin.get(KEYS)).text
    for key in (other, operator):
        await admin.get(KEYS)
        assert (await admin.post(KEYS, revoke=key.id)).status_code == 404
        assert await authenticate(ingest.redis, ingest.keys, key.token)
    assert other.id not in (await admin.get(KEYS)).text


async def test_keys_need_a_recent_proof_of_identity(desk: Desk, admin: Browser) -> None:
    ingest = desk.ingest
    await admin.get(KEYS)
    user = await desk.service.users.find_by_email("ada@harbour.example")
    assert user is not None
    earlier = str(epoch_ms(datetime.now(UTC) - timedelta(minutes=11)))
    for session in await desk.service.sessions.list(user.id):
        await ingest.redis.hset(ingest.keys.key("session", session.id), "authenticated", earlier)
    answer = await admin.post(KEYS, follow=False, act=str(ULID()).lower(), scopes="publish")
    assert answer.headers["location"] == "/account/prove?next=%2Fdesk%2Fkeys%3Faccount%3DHarbour%2BPost"
    assert await list_keys(ingest.redis, ingest.keys, account=ACCOUNT) == []
    assert "Prove" in (await admin.get(KEYS)).text or "prove" in admin.page
