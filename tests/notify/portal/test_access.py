"""Who may open the portal: users and links, what neither reaches, and what attackers try."""

import re
from datetime import timedelta

from fastapi.routing import iter_route_contexts

from newswire.auth.accounts import disable_account
from newswire.auth.api_keys import revoke_key
from newswire.auth.credentials import Scope
from newswire.observability.audit import COMMAND_LINE, ActorType
from newswire.users.roles import Role
from tests.notify.portal.conftest import ACCOUNT, Portal

URL = "https://receiver.example/hook"
OTHER = "Valley Radio"


async def test_a_link_is_made_by_key_opened_by_its_button_once_and_leaves_no_token_in_any_address(
    portal: Portal,
) -> None:
    key = await portal.key(Scope.SUBSCRIBE)
    async with portal.browser().http as http:
        made = await http.post("/v1/portal-links", json={"expires_in": 600}, headers=key)
        assert made.status_code == 201, made.text
        assert made.json()["account"] == ACCOUNT
        too_long = await http.post("/v1/portal-links", json={"expires_in": 90_000}, headers=key)
        assert (too_long.status_code, too_long.json()["errors"][0]["field"]) == (422, "expires_in")
        assert (await http.post("/v1/portal-links", headers=await portal.key(Scope.READ))).status_code == 403
    url = made.json()["url"]
    token = url.rpartition("/")[2]
    browser, second = portal.browser(), portal.browser()
    for each in (browser, browser, second):  # scanners open links, too
        page = await each.get(f"/portal/open/{token}")
        assert (page.status_code, page.headers["referrer-policy"]) == (200, "strict-origin")
        assert "no-store" in page.headers["cache-control"]
    opened = await browser.post("/portal/open", token=token)
    assert (opened.status_code, opened.url.path) == (200, "/portal")
    assert token not in opened.text + str(opened.url)
    assert ACCOUNT in opened.text
    assert (await second.post("/portal/open", token=token)).status_code == 404
    assert (await second.get("/portal")).url.path == "/sign-in"
    assert (await browser.get(f"/portal/open/{token}")).status_code == 404
    entries = await portal.audit("portal.")
    assert [(entry.act, entry.actor.type) for entry in entries] == [
        ("portal.opened", ActorType.PORTAL_LINK),
        ("portal.linked", ActorType.KEY),
    ]
    assert entries[0].actor.key_id == entries[1].actor.key_id
    stored = [name.decode() async for name in portal.redis.scan_iter(f"{portal.keys.namespace}:portal-*")]
    session = browser.http.cookies["__Host-newswire-portal"]
    assert stored
    assert not [name for name in stored if token in name or session in name]


async def test_the_session_of_a_link_ends_with_its_key_its_time_its_account_and_by_leaving(portal: Portal) -> None:
    key = await portal.key(Scope.SUBSCRIBE)

    async def opened() -> object:
        async with portal.browser().http as http:
            token = (await http.post("/v1/portal-links", headers=key)).json()["url"].rpartition("/")[2]
        browser = portal.browser()
        assert (await browser.post("/portal/open", token=token)).url.path == "/portal"
        return browser

    left, expired, disabled = await portal.by_link(), await portal.by_link(), await portal.by_link(OTHER)
    revoked = await opened()
    await left.get("/portal")
    assert "left" in (await left.post("/portal/leave")).text
    assert (await left.get("/portal")).url.path == "/sign-in"
    async for name in portal.redis.scan_iter(f"{portal.keys.namespace}:portal-session:*"):
        assert 0 < await portal.redis.ttl(name) <= 8 * 3600
    await disable_account(portal.redis, portal.keys, OTHER, by=COMMAND_LINE)
    assert (await disabled.get("/portal")).status_code == 403
    await revoke_key(portal.redis, portal.keys, key["Authorization"].split("_")[1])
    assert (await revoked.get("/portal")).url.path == "/sign-in"  # type: ignore[attr-defined]
    async for name in portal.redis.scan_iter(f"{portal.keys.namespace}:portal-session:*"):
        await portal.redis.delete(name)
    assert (await expired.get("/portal")).url.path == "/sign-in"
    token = await portal.links.create(ACCOUNT, timedelta(hours=48), by=COMMAND_LINE)
    [name] = [name async for name in portal.redis.scan_iter(f"{portal.keys.namespace}:portal-link:*")]
    assert await portal.redis.ttl(name) <= 86_400
    assert await portal.links.peek(token) is not None


async def test_users_need_the_permission_and_see_their_own_accounts(portal: Portal) -> None:
    writer = await portal.signed_in(await portal.user(Role.WRITER))
    assert (await writer.get("/portal")).status_code == 403
    subscriber = await portal.subscriber()
    page = await subscriber.get("/portal")
    assert (page.status_code, page.headers["x-frame-options"]) == (200, "DENY")
    policy = page.headers["content-security-policy"]
    assert "script-src 'self'" in policy
    assert "frame-ancestors 'none'" in policy
    assert (await subscriber.get(f"/portal?account={OTHER}")).status_code == 403
    linked = await portal.by_link()
    assert (await linked.get(f"/portal?account={OTHER}")).status_code == 403
    assert (await portal.browser().get("/portal?account=x")).url.params["next"] == "/portal?account=x"


async def test_no_page_of_a_subscription_opens_for_another_account(portal: Portal) -> None:
    theirs = await portal.subscribe(URL, account=OTHER)
    event = await portal.desk.put("a1")
    await portal.desk.fan_out([event])
    [row] = (await portal.desk.deliveries.of(theirs.id, 1)).rows
    within = f"/portal/subscriptions/{theirs.id}"
    paths = {context.path or "" for context in iter_route_contexts(portal.app.routes)}
    found = {path for path in paths if "{subscription_id}" in path and path.startswith("/portal/")}
    assert len(found) >= 6
    for browser in (await portal.subscriber(), await portal.by_link()):
        await browser.get("/portal")
        for path in found:
            address = path.replace("{subscription_id}", theirs.id).replace("{delivery_id}", row["id"])
            assert address.startswith(within)
            for method in ("GET", "POST"):
                answer = await (browser.get(address) if method == "GET" else browser.post(address, do="pause"))
                assert answer.status_code in (404, 405), (method, address)
                assert "receiver.example" not in answer.text
            await browser.get("/portal")
    assert (await portal.desk.subscriptions.find(theirs.id)).status == "active"  # type: ignore[union-attr]
    mine = await portal.subscribe(URL)
    browser = await portal.subscriber()
    assert (await browser.get(f"/portal/subscriptions/{mine.id}/deliveries/{row['id']}")).status_code == 404


async def test_forged_forms_change_nothing(portal: Portal) -> None:
    mine = await portal.subscribe(URL)
    path = f"/portal/subscriptions/{mine.id}"
    for browser in (await portal.subscriber(), await portal.by_link()):
        await browser.get(path)
        assert (await browser.post(path, do="pause", origin="https://evil.example")).status_code == 403
        await browser.get(path)
        browser.page = re.sub(r'name="csrf" value="[0-9a-f]{64}"', f'name="csrf" value="{"0" * 64}"', browser.page)
        assert (await browser.post(path, do="pause")).status_code == 403
    token = await portal.links.create(ACCOUNT, timedelta(hours=1), by=COMMAND_LINE)
    assert (await portal.browser().post("/portal/open", token=token, origin="https://evil.example")).status_code == 403
    assert await portal.links.peek(token) is not None
    assert (await portal.desk.subscriptions.find(mine.id)).status == "active"  # type: ignore[union-attr]


async def test_a_session_that_was_planted_before_a_link_is_opened_is_replaced(portal: Portal) -> None:
    planted = await portal.by_link(OTHER)
    cookie = planted.http.cookies["__Host-newswire-portal"]
    browser = portal.browser()
    browser.http.cookies.set("__Host-newswire-portal", cookie, domain="news.example")
    token = await portal.links.create(ACCOUNT, timedelta(hours=1), by=COMMAND_LINE)
    answer = await browser.post("/portal/open", follow=False, token=token)
    [set_cookie] = [value for name, value in answer.headers.multi_items() if name == "set-cookie"]
    assert cookie not in set_cookie
    assert {"HttpOnly", "Secure", "Path=/", "SameSite=lax"} <= set(set_cookie.split("; "))
    assert answer.headers["location"] == "/portal"
