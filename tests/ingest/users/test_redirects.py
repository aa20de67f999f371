"""No page leads to another site, whatever its address or form asks for."""

from urllib.parse import quote

import pytest

from newswire.users.roles import Role
from tests.ingest.users.conftest import PASSWORD, Desk, MakeUser

ELSEWHERE = (
    "https://evil.example/",
    "//evil.example",
    "///evil.example",
    "/\\evil.example",
    "\\\\evil.example",
    "/\t/evil.example",
    "/\r\nSet-Cookie: a=b",
    " //evil.example",
    "javascript:alert(1)",
    "data:text/html,x",
    "evil.example",
    "@evil.example",
    "/" + "x" * 5000,
)


@pytest.mark.parametrize("path", ELSEWHERE)
async def test_what_comes_next_is_a_page_of_this_site(desk: Desk, user: MakeUser, path: str) -> None:
    ida = await user("ida@harbour.example", Role.EDITOR)
    browser = desk.browser()
    following = f"next={quote(path, safe='')}"
    signed_in = await browser.post(f"/sign-in?{following}", follow=False, email=ida.email, password=PASSWORD)
    assert signed_in.headers["location"] == "/desk"
    again = await browser.http.get(f"/sign-in?{following}", follow_redirects=False)
    assert again.headers["location"] == "/desk"
    await browser.get("/desk")
    chosen = await browser.post("/desk/zone", follow=False, zone="UTC", next=path)
    assert chosen.headers["location"] == "/desk"
    await browser.get(f"/account/prove?{following}")
    proved = await browser.post(f"/account/prove?{following}", follow=False, password=PASSWORD)
    assert proved.headers["location"] == "/account"
