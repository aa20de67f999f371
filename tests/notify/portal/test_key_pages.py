"""API keys on the pages: only users make them, after proving who they are, once for each form; others' are left alone."""

import re
from datetime import UTC, datetime, timedelta

from newswire.auth.api_keys import list_keys
from newswire.auth.credentials import Scope, authenticate
from newswire.timestamps import epoch_ms
from tests.notify.portal.conftest import ACCOUNT, Portal
from tests.notify.portal.test_subscription_pages import act_of

PATH = "/portal/keys"


def tokens_on(page: str) -> list[str]:
    return re.findall(r"nw_[0-9a-z]{26}_[0-9a-f]{48}", page)


async def test_a_key_is_made_once_shown_once_and_revoked(portal: Portal) -> None:
    browser = await portal.subscriber()
    await browser.get(PATH)
    act = act_of(browser)
    first, second = [await browser.post(PATH, act=act, label="<b>Feed") for _ in range(2)]
    [token] = set(tokens_on(first.text) + tokens_on(second.text))
    caller = await authenticate(portal.redis, portal.keys, token)
    assert caller is not None
    assert (caller.account, caller.scopes) == (ACCOUNT, frozenset({Scope.SUBSCRIBE}))
    assert "&lt;b&gt;Feed" in first.text
    assert tokens_on((await browser.get(PATH)).text) == []
    for _ in range(2):
        await browser.post(PATH, revoke=caller.key_id)
    assert await authenticate(portal.redis, portal.keys, token) is None
    acts = [(entry.act, entry.target, bool(entry.actor.user_id)) for entry in await portal.audit("key.")]
    assert acts == [("key.revoked", caller.key_id, True), ("key.created", caller.key_id, True)]


async def test_keys_of_others_and_of_the_operator_cannot_be_revoked(portal: Portal) -> None:
    keys = [await portal.key(Scope.PUBLISH, Scope.SUBSCRIBE), await portal.key(Scope.SUBSCRIBE, account="Valley Radio")]
    browser = await portal.subscriber()
    await browser.get(PATH)
    for header in keys:
        key_id = header["Authorization"].split("_")[1]
        assert (await browser.post(PATH, revoke=key_id)).status_code == 404
        await browser.get(PATH)
    assert "Valley Radio" not in browser.page
    assert "managed on the desk, by admins" in browser.page
    for header in keys:
        assert await authenticate(portal.redis, portal.keys, header["Authorization"].removeprefix("Bearer "))


async def test_links_and_users_who_have_not_proven_themselves_make_no_keys(portal: Portal) -> None:
    linked = await portal.by_link()
    await linked.get("/portal")
    assert PATH not in linked.page
    assert (await linked.get(PATH)).status_code == 403
    browser = await portal.subscriber()
    await browser.get(PATH)
    act = act_of(browser)
    user = await portal.users.users.find_by_email("harbour@harbour.example")
    assert user is not None
    earlier = str(epoch_ms(datetime.now(UTC) - timedelta(minutes=11)))
    for session in await portal.users.sessions.list(user.id):
        await portal.redis.hset(portal.keys.key("session", session.id), "authenticated", earlier)
    answer = await browser.post(PATH, follow=False, act=act)
    assert answer.headers["location"] == "/account/prove?next=%2Fportal%2Fkeys%3Faccount%3DHarbour%2520Post"
    assert await list_keys(portal.redis, portal.keys, account=ACCOUNT) == []
