"""Passkeys on the pages: what must be proven first, which browser may answer, and what people are told."""

from urllib.parse import urlsplit

import pytest
from pydantic import HttpUrl

from newswire.users.models import User
from newswire.users.roles import Role
from tests.ingest.passkeys.authenticator import Authenticator
from tests.ingest.users.conftest import Browser, Desk, MakeUser
from tests.ingest.users.test_account_pages import age_sessions


async def with_passkey(desk: Desk, user: User) -> tuple[Browser, Authenticator]:
    """Add a passkey to a user, on the page of the account."""
    browser, authenticator = await desk.signed_in(user), Authenticator()
    await browser.get("/account")
    sent = authenticator.create((await browser.get_json("/account/passkeys/options")).text)
    added = await browser.post("/account/passkeys", name="My phone", credential=sent)
    assert "The passkey was added" in added.text
    assert "My phone" in added.text
    return browser, authenticator


async def test_a_passkey_signs_in_the_browser_that_asked(desk: Desk, user: MakeUser) -> None:
    ida = await user("ida@harbour.example", Role.EDITOR)
    _, authenticator = await with_passkey(desk, ida)
    browser, other = desk.browser(), desk.browser("de")
    assert 'autocomplete="username webauthn"' in (await browser.get("/sign-in")).text
    asked = await browser.get_json("/sign-in/passkey/options")
    cookie = asked.headers["set-cookie"]
    assert cookie.startswith("__Host-newswire-browser=")
    assert {"HttpOnly", "SameSite=lax", "Secure", "Path=/"} <= set(cookie.split("; "))
    assert asked.headers["cache-control"] == "no-store"
    sent = authenticator.get(asked.text)
    await other.get_json("/sign-in/passkey/options")
    refused = await other.post("/sign-in/passkey", credential=sent)
    assert refused.status_code == 403
    assert "Das hat zu lange gedauert" in refused.text
    assert (await browser.post("/sign-in/passkey", origin="https://evil.example", credential=sent)).status_code == 403
    # A second tab asks, too: the question of the first stays valid.
    assert "set-cookie" not in (await browser.get_json("/sign-in/passkey/options")).headers
    signed_in = await browser.post("/sign-in/passkey?next=%2Faccount", credential=sent)
    assert signed_in.url.path == "/account"
    assert (await browser.post("/sign-in/passkey?next=https://evil.example", credential=sent)).status_code == 403


async def test_adding_and_removing_need_a_recent_proof_which_a_passkey_gives(desk: Desk, user: MakeUser) -> None:
    ida = await user("ida@harbour.example", Role.EDITOR)
    browser, authenticator = await with_passkey(desk, ida)
    options = (await browser.get_json("/account/passkeys/options")).text
    (passkey,) = await desk.service_of_passkeys.passkeys.list(ida.id)
    await age_sessions(desk, ida)
    assert (await browser.get_json("/account/passkeys/options")).status_code == 403
    page = await browser.get("/account")
    assert 'href="/account/prove?next=/account"' in page.text
    credential = Authenticator().create(options)
    for path, fields in {"": {"name": "x", "credential": credential}, "/remove": {"passkey": passkey.id}}.items():
        await browser.get("/account")
        assert (await browser.post(f"/account/passkeys{path}", **fields)).url.path == "/account/prove"  # type: ignore[arg-type]  # fields of a form
    sent = authenticator.get((await browser.get_json("/account/prove/passkey/options")).text)
    assert (await browser.post("/account/prove/passkey", credential="{}")).status_code == 403
    assert (await browser.post("/account/prove/passkey?next=%2Faccount", credential=sent)).url.path == "/account"
    removed = await browser.post("/account/passkeys/remove", passkey=passkey.id)
    assert "The passkey was removed" in removed.text


async def test_a_user_without_password_keeps_the_last_passkey_and_what_was_typed(desk: Desk, user: MakeUser) -> None:
    ida = await user("ida@harbour.example", Role.EDITOR)
    browser, _ = await with_passkey(desk, ida)
    await desk.ingest.redis.hdel(desk.ingest.keys.key("user", ida.id), "password")
    (passkey,) = await desk.service_of_passkeys.passkeys.list(ida.id)
    kept = await browser.post("/account/passkeys/remove", passkey=passkey.id)
    assert kept.status_code == 409
    assert "could not sign in" in kept.text
    sent = Authenticator().create((await browser.get_json("/account/passkeys/options")).text)
    wrong = await browser.post("/account/passkeys", name="x" * 61, credential=sent)
    assert wrong.status_code == 422
    assert f'value="{"x" * 61}"' in wrong.text


@pytest.mark.parametrize(
    ("public", "opened", "offered"),
    [
        ("http://127.0.0.1:8000", "http://localhost:8000", True),
        ("http://127.0.0.1:8000", "http://127.0.0.1:8000", False),
        ("https://news.example", "https://www.news.example", False),
        ("http://news.example", "http://news.example", False),
    ],
)
async def test_passkeys_are_offered_where_browsers_have_them(
    desk: Desk, user: MakeUser, public: str, opened: str, offered: bool
) -> None:
    ida = await user("ida@harbour.example", Role.EDITOR)
    moved = desk.at(HttpUrl(public), opened)
    browser = moved.browser()
    assert ("data-passkey" in (await browser.get("/sign-in")).text) is offered
    signed_in = await browser.post("/sign-in", email=ida.email, password="velvet ferry onion quay", origin=opened)
    assert signed_in.url.path == "/desk"
    page = (await browser.get("/account")).text
    assert ('data-passkey="create"' in page) is offered
    if urlsplit(public).hostname == "127.0.0.1" and not offered:
        assert 'href="http://localhost:8000/account"' in page
