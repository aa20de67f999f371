"""The pages of imports, API keys and labels in a real browser: nothing is published unasked, and a restart loses nothing."""

from pathlib import Path

import httpx
import orjson
import pytest
from selenium.webdriver import ActionChains, Chrome, Keys

from tests.e2e.test_desk import ACCOUNT, Newsroom, element, no_barriers, press, shows, sign_in
from tests.e2e.test_desk_interruptions import by_keyboard, restartable, start
from tests.e2e.test_reader_site import AXE
from tests.markup import markup_errors
from tests.npm import node_with
from tests.polling import DEADLINE_SECONDS, until

ITEMS, RATE = 400, 30
CANCEL, START = "form[action*='/cancel'] button", "form[action*='/start'] button"


def lines(count: int) -> bytes:
    """Return articles of another system, one of them with a problem."""
    articles = [
        {
            "external_id": f"x{number}",
            "title": f"Tide {number}",
            "body": "<p>It rises.</p>",
            "topics": ["Ferry", "Tide"],
        }
        for number in range(count)
    ]
    articles[3]["title"] = ""
    articles[3]["body"] = ""
    return b"".join(orjson.dumps(article, option=orjson.OPT_APPEND_NEWLINE) for article in articles)


def done(browser: Chrome) -> int:
    """Return how many items of an import are done, as its page shows it."""
    return int(browser.execute_script("return document.querySelector('#progress')?.value ?? 0"))


def upload(browser: Chrome, site: str, path: Path) -> str:
    """Choose a file, wait until it is read and compared, and return the address of its page."""
    browser.get(f"{site}/desk/imports")
    element(browser, "#file").send_keys(str(path))
    press(browser, "form[enctype] button")
    until(lambda: "/desk/imports/" in browser.current_url)
    until(lambda: element(browser, START))
    return browser.current_url


def markup_of(room: Newsroom, browser: Chrome, *urls: str) -> dict[str, str]:
    """Return pages as the server sends them to the user of a browser."""
    cookies = {each["name"]: each["value"] for each in browser.get_cookies()}
    pages = {url: httpx.get(url, cookies=cookies, trust_env=False) for url in urls}
    assert {page.status_code for page in pages.values()} == {200}
    return {url: page.text for url, page in pages.items()}


def a_key_is_made_and_revoked(room: Newsroom, browser: Chrome) -> None:
    browser.get(f"{room.site}/desk/keys")
    element(browser, "#label").send_keys("CMS of the harbour")
    press(browser, "#scope-read")
    press(browser, "form:has(#label) button")
    until(lambda: element(browser, "#token"))
    no_barriers(browser, "a new key")
    token = element(browser, "#token").text
    headers = {"Authorization": f"Bearer {token}"}
    asked = f"{room.site}/v1/articles?status=published"
    assert httpx.get(asked, headers=headers, trust_env=False).status_code == 200
    browser.get(f"{room.site}/desk/keys")
    revoke = f"button[value='{token.split('_')[1]}']"
    by_keyboard(browser, revoke)
    until(lambda: element(browser, revoke) is None)
    shows(browser, "revoked")
    assert httpx.get(asked, headers=headers, trust_env=False).status_code == 401
    no_barriers(browser, "keys")


def a_label_is_renamed(room: Newsroom, browser: Chrome) -> None:
    browser.get(f"{room.site}/desk/labels")
    press(browser, "a[href*='old=Ferry']")
    until(lambda: "old=Ferry" in browser.current_url)
    element(browser, "#new-label").clear()
    element(browser, "#new-label").send_keys("Ferries")
    no_barriers(browser, "labels")
    by_keyboard(browser, "form:has(#new-label) button")
    shows(browser, "From now on it is written “Ferries”.")
    no_barriers(browser, "a renamed label")


@pytest.mark.timeout(300)
def test_imports_keys_and_labels(tmp_path: Path, chromium: Chrome) -> None:
    node_with("axe-core", AXE)
    file = tmp_path / "archive.ndjson"
    file.write_bytes(lines(ITEMS))
    with restartable(tmp_path / "data") as room:
        room.add_user("ada@harbour.example", "admin")
        slow = room.api("PATCH", f"/v1/accounts/{ACCOUNT}", "NEWSWIRE_ADMIN_KEY", json={"publish_rate": RATE})
        assert slow.status_code == 200
        sign_in(chromium, room.site, "ada@harbour.example")
        no_barriers(chromium, "desk")

        # Compared first; started; cancelled by keyboard while the page keeps itself current under the focus.
        first = upload(chromium, room.site, file)
        shows(chromium, "What the import would do")
        no_barriers(chromium, "compared")
        assert room.articles("published") == []
        press(chromium, START)
        until(lambda: done(chromium) > 0)
        no_barriers(chromium, "running")
        chromium.execute_script("document.querySelector(arguments[0]).focus()", CANCEL)
        before = done(chromium)
        until(lambda: done(chromium) > before)
        assert chromium.execute_script("return document.activeElement.matches(arguments[0])", CANCEL)
        ActionChains(chromium).send_keys(Keys.ENTER).perform()
        shows(chromium, "The import was cancelled")
        no_barriers(chromium, "cancelled")
        assert 0 < len(room.articles("published")) < ITEMS

        # The same file again, on a server that is restarted meanwhile: the open page goes on by itself.
        second = upload(chromium, room.site, file)
        press(chromium, START)
        until(lambda: done(chromium) > 0)
        room.running.process.terminate()
        room.running.process.wait(DEADLINE_SECONDS)
        room.running = start(room.running.data_dir, int(room.site.rpartition(":")[2]))
        shows(chromium, "What the import did")
        press(chromium, "a[href*='show=problems']")
        until(lambda: "show=problems" in chromium.current_url)
        assert len(chromium.find_elements("css selector", ".plain .badge.off")) == 1
        no_barriers(chromium, "problems")
        a_label_is_renamed(room, chromium)
        a_key_is_made_and_revoked(room, chromium)
        paths = ("/desk/imports", "/desk/keys", "/desk/labels?kind=category", "/desk/labels?old=Ferries")
        urls = [first, second, f"{second}&show=problems", *(room.site + path for path in paths)]
        assert markup_errors(markup_of(room, chromium, *urls), tmp_path) == []
        errors = [each for each in chromium.get_log("browser") if "Content Security Policy" in each["message"]]  # type: ignore[no-untyped-call]
        assert errors == []
