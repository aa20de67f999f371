"""The pages for signing in, in a browser's order: cookies, forms of other sites, links, redirects, languages."""

import httpx
import pytest

from newswire.observability.audit import COMMAND_LINE
from newswire.users.one_time_links import LinkPurpose
from newswire.users.roles import Role
from newswire.users.service import Client
from tests.ingest.users.conftest import PASSWORD, SITE, Desk, MakeUser


async def test_a_user_signs_in_and_out(desk: Desk, user: MakeUser) -> None:
    await user("ida@harbour.example", Role.EDITOR)
    browser = desk.browser()
    assert (await browser.get("/account")).url.path == "/sign-in"
    answer = await browser.post(
        "/sign-in?next=%2Faccount", follow=False, email="Ida@harbour.example", password=PASSWORD
    )
    assert (answer.status_code, answer.headers["location"]) == (303, "/account")
    cookie = answer.headers["set-cookie"]
    assert cookie.startswith("__Host-newswire-session=nws_")
    assert {"HttpOnly", "SameSite=lax", "Secure", "Path=/"} <= set(cookie.split("; "))
    account = await browser.get("/account")
    assert account.status_code == 200
    assert "Ida" in account.text
    assert account.headers["cache-control"] == "no-store, no-transform"
    assert (await browser.post("/sign-out")).url.path == "/sign-in"
    assert (await browser.get("/account")).url.path == "/sign-in"


@pytest.mark.parametrize(
    ("role", "home"),
    [(Role.WRITER, "/desk"), (Role.ADMIN, "/desk"), (Role.SUBSCRIBER, "/portal"), (Role.NEWSLETTERS, "/account")],
)
async def test_the_sign_in_leads_to_where_the_user_works(desk: Desk, user: MakeUser, role: Role, home: str) -> None:
    ida = await user("ida@harbour.example", role)
    browser = desk.browser()
    answer = await browser.post("/sign-in", follow=False, email=ida.email, password=PASSWORD)
    assert (answer.status_code, answer.headers["location"]) == (303, home)
    assert (await browser.http.get("/sign-in", follow_redirects=False)).headers["location"] == home


async def test_a_wrong_password_is_explained_without_saying_which_part_is_wrong(desk: Desk, user: MakeUser) -> None:
    await user("ida@harbour.example", Role.EDITOR)
    browser = desk.browser()
    pages = [await browser.sign_in(email, "wrong") for email in ("ida@harbour.example", "jon@harbour.example")]
    assert [page.status_code for page in pages] == [403, 403]
    assert pages[0].text.replace("ida@", "") == pages[1].text.replace("jon@", "")
    assert "set-cookie" not in pages[0].headers


async def test_guessing_is_answered_with_429_and_the_time_to_wait(desk: Desk, user: MakeUser) -> None:
    await user("ida@harbour.example", Role.EDITOR)
    browser = desk.browser()
    for _ in range(10):
        assert (await browser.sign_in("ida@harbour.example", "wrong")).status_code == 403
    refused = await browser.sign_in("ida@harbour.example")
    assert refused.status_code == 429
    assert 0 < int(refused.headers["retry-after"]) <= 900
    assert "Try again in 15 min" in refused.text


@pytest.mark.parametrize(
    "following",
    [
        "https://evil.example/",
        "//evil.example/",
        "/\\evil.example",
        "\\\\evil.example",
        "javascript:alert(1)",
        "/\t/evil.example",
        "/" + "a" * 2000,
        "account",
        "/%0d%0aSet-Cookie:x=y\r\n",
    ],
)
async def test_the_sign_in_never_leads_to_another_site(desk: Desk, user: MakeUser, following: str) -> None:
    await user("ida@harbour.example", Role.EDITOR)
    browser = desk.browser()
    page = await browser.http.get("/sign-in", params={"next": following}, headers=browser.headers)
    assert "evil.example" not in page.text
    answer = await browser.http.post(
        "/sign-in",
        params={"next": following},
        data={"email": "ida@harbour.example", "password": PASSWORD},
        headers={"Origin": SITE},
    )
    assert answer.headers["location"] == "/desk"


async def test_the_page_that_was_wanted_follows_the_sign_in(desk: Desk, user: MakeUser) -> None:
    await user("ida@harbour.example", Role.ADMIN)
    browser = desk.browser()
    page = await browser.get("/users?account=Harbour%20Post")
    assert page.url.path == "/sign-in"
    answer = await browser.sign_in("ida@harbour.example", path=str(page.url.raw_path, "ascii"))
    assert (answer.url.path, answer.url.params["account"]) == ("/users", "Harbour Post")


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
async def test_forms_of_other_sites_are_refused(desk: Desk, user: MakeUser, headers: dict[str, str]) -> None:
    ida = await user("ida@harbour.example", Role.EDITOR)
    browser = await desk.signed_in(ida)
    page = await browser.get("/account")
    csrf = page.text.partition('name="csrf" value="')[2][:64]
    for path, fields in (
        ("/sign-in", {"email": ida.email, "password": PASSWORD}),
        ("/account/name", {"csrf": csrf, "name": "Eve"}),
        ("/sign-out", {"csrf": csrf}),
    ):
        answer = await browser.http.post(path, data=fields, headers=headers)
        assert answer.status_code == 403, path
    assert "Eve" not in (await browser.get("/account")).text


async def test_a_form_without_the_token_of_its_session_changes_nothing(desk: Desk, user: MakeUser) -> None:
    ida, jon = await user("ida@harbour.example", Role.EDITOR), await user("jon@harbour.example", Role.EDITOR)
    browser, other = await desk.signed_in(ida), await desk.signed_in(jon)
    foreign = (await other.get("/account")).text.partition('name="csrf" value="')[2][:64]
    for token in ("", foreign, "0" * 64):
        answer = await browser.http.post("/account/name", data={"csrf": token, "name": "Eve"}, headers={"Origin": SITE})
        assert answer.status_code == 403
    assert "Eve" not in (await browser.get("/account")).text


async def test_a_session_known_before_the_sign_in_is_not_the_one_after_it(desk: Desk, user: MakeUser) -> None:
    ida = await user("ida@harbour.example", Role.EDITOR)
    browser = desk.browser()
    browser.http.cookies.set("__Host-newswire-session", "nws_" + "a" * 43, domain="news.example")
    await browser.sign_in(ida.email)
    values = {cookie.value for cookie in browser.http.cookies.jar}
    assert values - {"nws_" + "a" * 43}
    stranger = desk.browser()
    stranger.http.cookies.set("__Host-newswire-session", "nws_" + "a" * 43, domain="news.example")
    assert (await stranger.get("/account")).url.path == "/sign-in"


async def test_a_sign_in_ends_the_former_session_of_the_browser(desk: Desk, user: MakeUser) -> None:
    ida, jon = await user("ida@harbour.example", Role.EDITOR), await user("jon@harbour.example", Role.EDITOR)
    browser, thief, elsewhere = await desk.signed_in(ida), desk.browser(), await desk.signed_in(ida)
    thief.http.cookies = httpx.Cookies(browser.http.cookies)
    token = await desk.service.make_link(jon, LinkPurpose.SIGN_IN, by=COMMAND_LINE)
    await browser.post(f"/sign-in/{token}")
    assert "Jon" in (await browser.get("/account")).text
    assert (await thief.get("/account")).url.path == "/sign-in"
    assert "Ida" in (await elsewhere.get("/account")).text


async def test_an_invitation_is_opened_by_scanners_and_accepted_once(desk: Desk, user: MakeUser) -> None:
    new = await user("new@harbour.example", Role.WRITER, password=None)
    path = f"/invitation/{await desk.service.make_link(new, LinkPurpose.INVITATION, by=COMMAND_LINE)}"
    for _ in range(3):
        page = await desk.browser().get(path)
        assert page.status_code == 200
        assert "Choose a password for new@harbour.example" in page.text
    browser = desk.browser()
    weak = await browser.post(path, password="password1234")
    assert weak.status_code == 422
    assert "easy to guess" in weak.text
    done = await browser.post(path, password=PASSWORD)
    assert done.url.path == "/desk"
    for method in (desk.browser().get(path), desk.browser().post(path, password="quiet lanterns above harbours")):
        ended = await method
        assert ended.status_code == 404
        assert "does not work any more" in ended.text
    assert await desk.service.sign_in(new.email, PASSWORD, Client(None, "192.0.2.7", "")) is not None


async def test_a_link_signs_in_once_and_not_on_another_page(desk: Desk, user: MakeUser) -> None:
    ida = await user("ida@harbour.example", Role.EDITOR)
    token = await desk.service.make_link(ida, LinkPurpose.SIGN_IN, by=COMMAND_LINE)
    assert (await desk.browser().get(f"/invitation/{token}")).status_code == 404
    assert (await desk.browser().post(f"/reset-password/{token}", password=PASSWORD)).status_code == 404
    browser = desk.browser()
    assert (await browser.http.head(f"/sign-in/{token}")).status_code == 200
    assert (await browser.post(f"/sign-in/{token}")).url.path == "/desk"
    assert (await desk.browser().post(f"/sign-in/{token}")).status_code == 404


@pytest.mark.parametrize("token", ["x", "a" * 43, "a" * 5000, "%00", "é" * 43])
async def test_a_forged_link_is_answered_with_a_page(desk: Desk, token: str) -> None:
    for path in ("sign-in", "invitation", "reset-password"):
        page = await desk.browser().get(f"/{path}/{token}")
        assert page.status_code == 404
        assert page.headers["content-type"].startswith("text/html")


@pytest.mark.parametrize(
    ("asked", "language", "text"),
    [
        ("de-AT,de;q=0.9,en;q=0.5", "de", "Anmelden"),
        ("fr", "fr", "Se connecter"),
        ("it,es;q=0.2", "es", "Iniciar sesión"),
        ("ja", "en", "Sign in"),
        ("*;q=x,,;q=", "en", "Sign in"),
        ("de;q=0", "en", "Sign in"),
    ],
)
async def test_pages_are_in_the_language_of_the_browser(desk: Desk, asked: str, language: str, text: str) -> None:
    page = await desk.browser(asked).get("/sign-in")
    assert f'<html lang="{language}">' in page.text
    assert f"<h1>{text}</h1>" in page.text


async def test_a_form_sent_after_the_session_ended_is_explained(desk: Desk, user: MakeUser) -> None:
    ida = await user("ida@harbour.example", Role.EDITOR)
    browser = await desk.signed_in(ida)
    await desk.service.sign_out_everywhere(ida, by=COMMAND_LINE)
    answer = await browser.post("/account/name", name="Ida R.")
    assert answer.status_code == 401
    assert "Sign in in another tab" in answer.text


async def test_asking_for_a_new_password_is_answered_alike_for_users_and_others(desk: Desk, user: MakeUser) -> None:
    await user("ida@harbour.example", Role.EDITOR)
    answers = [
        await desk.browser().post("/forgot-password", email=email)
        for email in ("ida@harbour.example", "jon@harbour.example")
    ]
    assert [answer.status_code for answer in answers] == [200, 200]
    assert answers[0].text.replace("ida@", "") == answers[1].text.replace("jon@", "")
    assert "If ida@harbour.example is the address of a user" in answers[0].text
    assert await desk.ingest.redis.zcard(desk.ingest.keys.key("user-mails")) == 2
    assert (await desk.browser().post("/forgot-password", email="nonsense")).status_code == 422
    for _ in range(18):
        await desk.browser().post("/forgot-password", email="eve@harbour.example")
    flooded = await desk.browser().post("/forgot-password", email="eve@harbour.example")
    assert flooded.status_code == 429
    assert int(flooded.headers["retry-after"]) > 0
