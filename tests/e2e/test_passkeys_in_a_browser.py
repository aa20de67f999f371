"""Passkeys in a real browser with a virtual authenticator: added, used to sign in and to prove who one is, and removed."""

from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

import httpx
import pytest
from selenium.webdriver import Chrome
from selenium.webdriver.common.by import By
from selenium.webdriver.common.virtual_authenticator import Protocol, Transport, VirtualAuthenticatorOptions

from tests.e2e.conftest import Newswire, one_process
from tests.e2e.test_reader_site import AXE, MAX_SCROLL, VIOLATIONS, resize
from tests.npm import node_with
from tests.polling import until
from tests.servers.browser import click, text_of

PRESS = "document.querySelector('form[data-passkey] button:enabled')?.click()"


def authenticator_of(browser: Chrome) -> None:
    """Give a browser an authenticator that verifies its user, as a phone with a fingerprint does."""
    options = VirtualAuthenticatorOptions(
        protocol=Protocol.CTAP2,
        transport=Transport.INTERNAL,
        has_resident_key=True,
        has_user_verification=True,
        is_user_consenting=True,
        is_user_verified=True,
    )
    browser.add_virtual_authenticator(options)


def link_to_sign_in(installed: Newswire) -> str:
    admin = {"Authorization": f"Bearer {installed.admin_key}"}
    body: dict[str, Any] = {"email": "ida@harbour.example", "name": "Ida Roth", "memberships": {"gazette": ["editor"]}}
    made = httpx.post(f"{installed.ingest}/v1/users", json=body, headers=admin, trust_env=False).json()
    link = httpx.post(
        f"{installed.ingest}/v1/users/{made['id']}/links",
        json={"purpose": "sign-in"},
        headers=admin,
        trust_env=False,
    ).json()
    return httpx.URL(link["url"]).path


@pytest.mark.timeout(300)
def test_a_user_without_password_signs_in_by_passkey(chromium: Chrome, tmp_path: Path) -> None:
    node_with("axe-core", AXE)
    axe = (AXE / "node_modules" / "axe-core" / "axe.min.js").read_text()
    with one_process(tmp_path / "data") as installed:
        site = installed.ingest.replace("127.0.0.1", "localhost")

        def press(selector: str, following: Callable[[], object]) -> None:
            click(chromium, chromium.find_element(By.CSS_SELECTOR, selector))
            until(following)

        chromium.get(f"{site}/sign-in")
        look(chromium, axe, 390, dark=False)
        authenticator_of(chromium)
        chromium.get(site + link_to_sign_in(installed))
        press("main button", lambda: "/desk" in chromium.current_url)
        chromium.get(f"{site}/account")
        name = chromium.find_element(By.ID, "passkey-name")
        assert "Chrome" in (name.get_attribute("value") or "")
        name.clear()
        name.send_keys("Laptop מחשב")
        press("form[data-passkey] button", lambda: "The passkey was added" in text_of(chromium))
        assert "Laptop מחשב" in text_of(chromium)
        chromium.find_element(By.ID, "passkey-name").clear()
        chromium.find_element(By.ID, "passkey-name").send_keys("Again")
        press("form[data-passkey] button", lambda: "in the list already" in text_of(chromium))
        for width, dark in product((1280, 390), (False, True)):
            look(chromium, axe, width, dark=dark)

        press(".sign-out button", lambda: "/account" not in chromium.current_url)
        chromium.delete_all_cookies()  # the suggestion of the sign-in page may have signed in again by itself
        chromium.get(f"{site}/sign-in?next=%2Faccount")
        until(lambda: chromium.current_url == f"{site}/account" or chromium.execute_script(PRESS))
        assert "last used" in text_of(chromium)
        press("#passkeys li button", lambda: "could not sign in" in text_of(chromium))

        chromium.get(f"{site}/account/prove?next=%2Faccount")
        look(chromium, axe, 390, dark=True)
        press("form[data-passkey] button", lambda: chromium.current_url == f"{site}/account")
        field = chromium.find_element(By.ID, "password")
        field.send_keys("velvet ferry onion quay")
        field.submit()
        until(lambda: "Your password is set" in text_of(chromium))
        press("#passkeys li button", lambda: "The passkey was removed" in text_of(chromium))
        errors = [each for each in chromium.get_log("browser") if each["level"] == "SEVERE"]  # type: ignore[no-untyped-call]
        assert [each for each in errors if each["source"] != "network"] == []


def look(browser: Chrome, axe: str, width: int, *, dark: bool) -> None:
    """The page has no barriers and does not scroll sideways."""
    scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme]})
    resize(browser, width)
    assert browser.execute_script(MAX_SCROLL) <= 0, (browser.current_url, width)
    browser.execute_cdp_cmd("Runtime.evaluate", {"expression": axe})
    assert browser.execute_async_script(VIOLATIONS) == [], (browser.current_url, width)
