"""OpenID Connect in a real browser, with a third-party provider: a link, a sign-in, and a logout that ends both sessions."""

import json
from collections.abc import Callable
from itertools import product
from pathlib import Path

import pytest
from selenium.webdriver import Chrome
from selenium.webdriver.common.by import By

from tests.cli.running import Running
from tests.e2e.conftest import Newswire
from tests.e2e.test_passkeys_in_a_browser import link_to_sign_in, look
from tests.e2e.test_reader_site import AXE
from tests.ingest.users.openid_provider import third_party_provider
from tests.npm import node_with
from tests.polling import DEADLINE_SECONDS, until
from tests.servers.browser import click, text_of

PERSON = {"sub": "mock-1", "email": "ida@home.example", "name": "ليلى"}
"""Not the address of the user: a link that the user asks for does not depend on it."""


@pytest.mark.timeout(300)
def test_a_user_links_a_provider_signs_in_with_it_and_signs_out_of_both(chromium: Chrome, tmp_path: Path) -> None:
    node_with("axe-core", AXE)
    axe = (AXE / "node_modules" / "axe-core" / "axe.min.js").read_text()
    with third_party_provider(PERSON) as issuer:
        named = {
            "name": "staff",
            "label": "Harbour SSO",
            "issuer": issuer,
            "client_id": "newswire",
            "client_secret": "s",
        }
        environment = {"NEWSWIRE_OPENID_PROVIDERS": json.dumps([named])}
        running = Running(tmp_path / "data", "--no-samples", environment=environment)
        try:
            admin = running.credentials()["NEWSWIRE_ADMIN_KEY"]
            go_through(chromium, axe, issuer, Newswire(running.site, running.site, running.site, "", "", admin))
        finally:
            running.process.terminate()
            running.process.wait(DEADLINE_SECONDS)


def go_through(chromium: Chrome, axe: str, issuer: str, installed: Newswire) -> None:
    site = installed.ingest

    def press(selector: str, following: Callable[[], object]) -> None:
        click(chromium, chromium.find_element(By.CSS_SELECTOR, selector))
        until(following)

    def at(address: str) -> Callable[[], bool]:
        return lambda: chromium.current_url.startswith(address)

    def authorize() -> None:
        press("button[name='sub'][value='mock-1']", at(site))

    chromium.get(site + link_to_sign_in(installed))
    press("main button", at(f"{site}/desk"))
    chromium.get(f"{site}/account")
    assert "Link a provider to sign in with it." in text_of(chromium)
    press("form[action='/account/openid/staff'] button", at(f"{issuer}/oauth2/authorize"))
    authorize()
    until(lambda: "The provider is linked" in text_of(chromium))
    assert "Link Harbour SSO" not in text_of(chromium)
    for width, dark in product((1280, 390), (False, True)):
        look(chromium, axe, width, dark=dark)
    press("#identities li button", lambda: "Without this link you could not sign in" in text_of(chromium))

    press(".sign-out button", at(f"{site}/sign-in"))  # this session began with a one-time link: the provider has none
    press("form[action^='/sign-in/openid/staff'] button", at(f"{issuer}/oauth2/authorize"))
    authorize()
    until(at(f"{site}/desk"))
    press(".sign-out button", at(f"{issuer}/oauth2/end_session?"))
    assert f"post_logout_redirect_uri={site.replace(':', '%3A').replace('/', '%2F')}%2Fsign-in" in chromium.current_url
    assert "id_token_hint=ey" in chromium.current_url
    chromium.get(f"{site}/account")
    assert at(f"{site}/sign-in")(), "the session here ended before the browser left"
    chromium.back()
    press("main button, form button", at(f"{site}/sign-in"))
    errors = [each for each in chromium.get_log("browser") if each["level"] == "SEVERE"]  # type: ignore[no-untyped-call]
    assert [each for each in errors if each["source"] != "network"] == []
