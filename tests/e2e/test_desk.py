"""The desk in a real browser: a day of two editors, and the accidents of a day. The API is asked what is true at each step."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from PIL import Image
from selenium.common.exceptions import StaleElementReferenceException
from selenium.webdriver import Chrome, Keys
from selenium.webdriver.common.by import By

from tests.cli.running import Running
from tests.e2e.conftest import Receiver, receiver
from tests.e2e.test_reader_site import AXE, MAX_SCROLL, VIOLATIONS, resize
from tests.npm import node_with
from tests.polling import DEADLINE_SECONDS, until
from tests.servers.browser import chromium_browser, click, text_of

PASSWORD = "velvet ferry onion quay"
ACCOUNT = "gazette"
SAMPLES = Path(__file__).parent / "pasted"
OFFLINE = {"offline": True, "latency": 0, "downloadThroughput": -1, "uploadThroughput": -1}
PASTE = """
const [html] = arguments;
const data = new DataTransfer();
data.setData("text/html", html);
data.setData("text/plain", "plain");
const editor = document.querySelector(".ProseMirror");
editor.focus();
editor.dispatchEvent(new ClipboardEvent("paste", { clipboardData: data, bubbles: true, cancelable: true }));
"""


@dataclass
class Newsroom:
    """Newswire in one process, and its users."""

    running: Running
    keys: dict[str, str]

    @property
    def site(self) -> str:
        return self.running.site

    def api(self, method: str, path: str, key: str = "NEWSWIRE_PUBLISHER_KEY", **options: Any) -> httpx.Response:
        headers = {"Authorization": f"Bearer {self.keys[key]}"} | options.pop("headers", {})
        return httpx.request(
            method, self.site + path, headers=headers, trust_env=False, timeout=DEADLINE_SECONDS, **options
        )

    def add_user(self, email: str, *roles: str) -> str:
        """Create a user with a password, and return its id."""
        user = {"email": email, "name": email.partition("@")[0].title(), "memberships": {ACCOUNT: list(roles)}}
        made = self.api("POST", "/v1/users", "NEWSWIRE_ADMIN_KEY", json=user).json()
        link = self.api(
            "POST", f"/v1/users/{made['id']}/links", "NEWSWIRE_ADMIN_KEY", json={"purpose": "invitation"}
        ).json()["url"]
        path = "/" + link.split("/", 3)[3]
        assert httpx.post(self.site + path, data={"password": PASSWORD}, trust_env=False).status_code == 303
        return str(made["id"])

    def draft(self, browser: Chrome) -> dict[str, Any]:
        """Return what the API knows of the draft that a browser shows."""
        found: dict[str, Any] = self.api("GET", f"/v1/drafts/{draft_of(browser)}").json()
        return found

    def articles(self, status: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.api("GET", f"/v1/articles?status={status}").json()["articles"]
        return found


@contextmanager
def newsroom(data_dir: Path) -> Iterator[Newsroom]:
    running = Running(data_dir, "--no-samples", environment={"NEWSWIRE_WEBHOOK_ALLOW_PRIVATE": "true"})
    try:
        yield Newsroom(running, running.credentials())
    finally:
        running.process.terminate()
        running.process.wait(DEADLINE_SECONDS)


def draft_of(browser: Chrome) -> str:
    return browser.current_url.partition("/drafts/")[2].partition("?")[0].partition("/")[0]


def sign_in(browser: Chrome, site: str, email: str) -> None:
    if "/sign-in" not in browser.current_url:
        browser.get(f"{site}/sign-in?next=/desk")
    browser.find_element(By.NAME, "email").send_keys(email)
    browser.find_element(By.NAME, "password").send_keys(PASSWORD, Keys.ENTER)
    until(lambda: "/sign-in" not in browser.current_url)


def new_draft(browser: Chrome, site: str, title: str) -> str:
    browser.get(f"{site}/desk")
    press(browser, ".head button")
    until(lambda: "/drafts/" in browser.current_url and element(browser, ".ProseMirror"))
    element(browser, "#title").send_keys(title)
    return browser.current_url


def element(browser: Chrome, selector: str) -> Any:
    return next(iter(browser.find_elements(By.CSS_SELECTOR, selector)), None)


def press(browser: Chrome, selector: str) -> None:
    def is_pressed() -> bool:
        found = element(browser, selector)
        try:
            if found is not None:
                click(browser, found)
        except StaleElementReferenceException:  # another page has taken the place of its own
            return False
        return found is not None

    until(is_pressed)


def write(browser: Chrome, text: str) -> None:
    element(browser, ".ProseMirror").send_keys(Keys.CONTROL, Keys.END)
    element(browser, ".ProseMirror").send_keys(text)


def state(browser: Chrome) -> str:
    return str(browser.execute_script("return document.querySelector('#save-state')?.dataset.state ?? ''"))


def saved(browser: Chrome) -> None:
    until(lambda: state(browser) == "saved")


def shows(browser: Chrome, text: str) -> None:
    until(lambda: text in text_of(browser))


def act(browser: Chrome, name: str) -> None:
    """Open the sheet of an act from the page of a draft."""
    saved(browser)
    press(browser, f"[data-act][href*='/{name}?']")
    until(lambda: f"/{name}?" in browser.current_url)


def no_barriers(browser: Chrome, what: str) -> None:
    """Check the page that a browser shows with axe, light and dark, and that it fits both widths."""
    axe = (AXE / "node_modules" / "axe-core" / "axe.min.js").read_text()
    for scheme in ("light", "dark"):
        media = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", media)
        browser.execute_cdp_cmd("Runtime.evaluate", {"expression": axe})
        assert browser.execute_async_script(VIOLATIONS) == [], (what, scheme)
    for width in (390, 1280):
        resize(browser, width)
        assert browser.execute_script(MAX_SCROLL) == 0, (what, width)


@pytest.mark.timeout(300)
def test_a_day_at_the_desk(tmp_path: Path, chromium: Chrome) -> None:
    node_with("axe-core", AXE)
    with newsroom(tmp_path / "data") as room, receiver() as hook, chromium_browser() as second:
        room.add_user("ida@harbour.example", "editor")
        room.add_user("jon@harbour.example", "writer")
        subscribed = {"channel": {"type": "webhook", "url": hook.url}, "filter": {}}
        assert room.api("POST", "/v1/subscriptions", "NEWSWIRE_SUBSCRIBER_KEY", json=subscribed).status_code == 201
        sign_in(chromium, room.site, "ida@harbour.example")
        no_barriers(chromium, "list")
        url = new_draft(chromium, room.site, "Ferries sail again")

        # Pasted text keeps what readers see, and nothing else.
        for name in ("word", "google_docs", "web_page"):
            chromium.execute_script(PASTE, (SAMPLES / f"{name}.html").read_text())
            saved(chromium)
            body = room.draft(chromium)["content"]["body"]
            assert body == (SAMPLES / f"{name}.expected.html").read_text().strip(), body
            chromium.execute_script("document.querySelector('.ProseMirror').editor.commands.clearContent(true)")
        write(chromium, "The first ferry left at six.")
        press(chromium, "[data-command=image]")
        Image.new("RGB", (640, 400), "navy").save(tmp_path / "ferry.png")
        element(chromium, "#new-file").send_keys(str(tmp_path / "ferry.png"))
        until(lambda: "/media/" in element(chromium, "#new-url").get_attribute("value"))
        element(chromium, "#new-alt").send_keys("A ferry at the quay")
        press(chromium, "#image-dialog button[value=ok]")
        saved(chromium)
        (picture,) = room.api("GET", "/v1/media").json()["media"]
        shown = f'<img src="{picture["url"]}" alt="A ferry at the quay">'
        assert shown in room.draft(chromium)["content"]["body"]
        no_barriers(chromium, "draft")

        # Without network, writing goes on; another person changes the same draft; nothing is lost.
        chromium.execute_cdp_cmd("Network.enable", {})
        chromium.execute_cdp_cmd("Network.emulateNetworkConditions", OFFLINE)
        element(chromium, "#summary").send_keys("Written on the train.")
        until(lambda: state(chromium) == "offline")
        assert element(chromium, "[data-act]").get_attribute("aria-disabled") == "true"
        sign_in(second, room.site, "jon@harbour.example")
        second.get(url)
        assert element(second, "[data-act]") is None  # a writer publishes nothing
        element(second, "#summary").send_keys("Of Jon.")
        saved(second)
        chromium.execute_cdp_cmd("Network.emulateNetworkConditions", OFFLINE | {"offline": False})
        until(lambda: state(chromium) == "conflict")
        shows(chromium, "Of Jon.")
        no_barriers(chromium, "conflict")
        press(chromium, "#conflict button[value=mine]")
        saved(chromium)
        assert room.draft(chromium)["content"]["summary"] == "Written on the train."
        history = room.api("GET", f"/v1/drafts/{draft_of(chromium)}/revisions").json()["revisions"]
        texts = [
            room.api("GET", f"/v1/drafts/{draft_of(chromium)}/revisions/{each['number']}").text for each in history
        ]
        assert any("Of Jon." in text for text in texts)
        second.execute_script("window.dispatchEvent(new Event('focus'))")
        until(lambda: state(second) == "newer")

        # Scheduled in a zone, then published at once.
        act(chromium, "schedule")
        chromium.execute_script("document.getElementById('local').value = '2031-03-01T06:30'")
        element(chromium, "#zone").send_keys("America/New_York")
        no_barriers(chromium, "sheet")
        press(chromium, "form[data-once] button")
        shows(chromium, "06:30 America/New_York (11:30 UTC)")
        (planned,) = room.articles("scheduled")
        assert planned["embargo_until"] == "2031-03-01T11:30:00Z"
        assert not hook.requests
        chromium.get(url)
        act(chromium, "publish")
        press(chromium, "form[data-once] button")
        shows(chromium, "1 of 1 subscribers notified")
        shows(chromium, "searchable after")
        no_barriers(chromium, "article")
        assert kinds(hook) == ["published"]

        # Corrected, with a note that readers see.
        chromium.get(url)
        write(chromium, " It carried forty people.")
        element(chromium, "#correction_note").send_keys("The number of people was missing.")
        act(chromium, "correct")
        shows(chromium, "It carried forty people.")
        press(chromium, "form[data-once] button")
        shows(chromium, "The correction is published.")
        until(lambda: kinds(hook) == ["published", "corrected"])
        (article,) = room.articles("published")
        page = httpx.get(article["url"], trust_env=False).text
        assert "The number of people was missing." in page

        # Retracted in two steps from the page of the article, with a reason.
        press(chromium, "a.danger")
        element(chromium, "#reason").send_keys("The ferry did not sail.")
        press(chromium, "form[data-once] button")
        shows(chromium, "The article is retracted.")
        shows(chromium, "1 of 1 subscribers notified")
        assert kinds(hook) == ["published", "corrected", "retracted"]
        assert httpx.get(article["url"], trust_env=False).status_code == 410
        errors = [each for each in chromium.get_log("browser") if "Content Security Policy" in each["message"]]  # type: ignore[no-untyped-call]
        assert errors == []


def kinds(hook: Receiver) -> list[str]:
    """Return what a receiver was told, in order."""
    return [
        "retracted" if "retracted" in event["type"] else str(event["data"]["kind"])
        for event in hook.events()
        if event["type"].startswith("newswire.article")
    ]


def kill_store(room: Newsroom) -> None:
    """Kill the Valkey that `newswire run` supervises."""
    (store,) = [each for each in psutil.Process(room.running.process.pid).children(True) if "valkey" in each.name()]
    store.kill()


@pytest.mark.timeout(300)
def test_accidents(tmp_path: Path, chromium: Chrome) -> None:
    with newsroom(tmp_path / "data") as room:
        ida = room.add_user("ida@harbour.example", "editor")
        sign_in(chromium, room.site, "ida@harbour.example")
        url = new_draft(chromium, room.site, "Accidents")
        saved(chromium)

        # The store is killed while a text is saved: it is saved as soon as the store is back.
        kill_store(room)
        write(chromium, "Written while the store was dead.")
        until(lambda: "store was dead" in room.draft(chromium)["content"].get("body", ""))
        saved(chromium)

        # The session ends in the middle of writing: sign in in another tab, and saving goes on in the first.
        first = chromium.current_window_handle
        room.api("POST", f"/v1/users/{ida}/sign-out", "NEWSWIRE_ADMIN_KEY")
        write(chromium, " After the session ended.")
        until(lambda: state(chromium) == "signed-out")
        press(chromium, "#save-notice a")
        until(lambda: len(chromium.window_handles) == 2)
        chromium.switch_to.window(chromium.window_handles[-1])
        until(lambda: "/sign-in" in chromium.current_url)
        sign_in(chromium, room.site, "ida@harbour.example")
        chromium.close()
        chromium.switch_to.window(first)
        saved(chromium)
        assert "After the session ended." in room.draft(chromium)["content"]["body"]

        # Two tabs of one person: the older one is told, and cannot publish what it does not show.
        chromium.switch_to.new_window("tab")
        chromium.get(url)
        write(chromium, " In the second tab.")
        saved(chromium)
        chromium.switch_to.window(first)
        chromium.execute_script("window.dispatchEvent(new Event('focus'))")
        until(lambda: state(chromium) == "newer")
        assert element(chromium, "[data-act]").get_attribute("aria-disabled") == "true"

        # The page is lost with unsaved text: the browser brings it back.
        chromium.execute_cdp_cmd("Network.enable", {})
        chromium.get(url)
        saved(chromium)
        chromium.execute_cdp_cmd("Network.emulateNetworkConditions", OFFLINE)
        write(chromium, " Before the crash.")
        until(lambda: state(chromium) == "offline")
        chromium.execute_cdp_cmd("Network.emulateNetworkConditions", OFFLINE | {"offline": False})
        chromium.execute_script("window.stop(); window.fetch = () => new Promise(() => {})")
        chromium.switch_to.new_window("tab")
        last = chromium.current_window_handle
        chromium.switch_to.window(first)
        chromium.close()
        chromium.switch_to.window(last)
        chromium.get(url)
        until(lambda: "Before the crash." in room.draft(chromium)["content"]["body"])

        # A double click publishes once; going back and reloading does nothing.
        act(chromium, "publish")
        sheet = chromium.current_url
        chromium.execute_script(
            "const form = document.querySelector('form[data-once]'); form.querySelector('button').click(); form.submit()"
        )
        until(lambda: "/articles/" in chromium.current_url)
        chromium.get(sheet)
        shows(chromium, "The article is published.")
        assert element(chromium, "form[data-once]") is None
        (article,) = room.articles("published")
        assert article["version"] == 1
