"""The desk in a real browser while the whole server is killed, with a clock that is an hour ahead, and with pages that are old."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psutil
import pytest
from selenium.webdriver import ActionChains, Chrome, Keys

from tests.cli.running import Running
from tests.e2e.conftest import receiver
from tests.e2e.test_desk import (
    Newsroom,
    act,
    element,
    kinds,
    new_draft,
    press,
    saved,
    shows,
    sign_in,
    state,
    write,
)
from tests.polling import DEADLINE_SECONDS, until
from tests.servers.browser import text_of
from tests.servers.valkey import free_port

AN_HOUR_AHEAD_WITHOUT_TLS = """
const Real = Date;
const now = () => Real.now() + 3600000;
Date = class extends Real {
  constructor(...given) { given.length ? super(...given) : super(now()); }
  static now() { return now(); }
};
delete Crypto.prototype.randomUUID;  // as on pages of other hosts that are not sent by https
"""


@contextmanager
def restartable(data_dir: Path) -> Iterator[Newsroom]:
    """Yield a newsroom that `kill` and `start` bring back at the same address."""
    room = Newsroom(start(data_dir, free_port()), {})
    room.keys = room.running.credentials()
    try:
        yield room
    finally:
        room.running.process.terminate()
        room.running.process.wait(DEADLINE_SECONDS)


def start(data_dir: Path, port: int) -> Running:
    environment = {"NEWSWIRE_WEBHOOK_ALLOW_PRIVATE": "true"}
    return Running(data_dir, "--no-samples", "--port", str(port), environment=environment)


def kill(room: Newsroom) -> None:
    """Kill Newswire and its Valkey, as a machine that fails does."""
    ingest = psutil.Process(room.running.process.pid)
    for process in (ingest, *ingest.children(recursive=True)):
        process.kill()
    room.running.process.wait(DEADLINE_SECONDS)


def minutes_from_now(minutes: int) -> datetime:
    return (datetime.now(UTC) + timedelta(minutes=minutes)).replace(second=0, microsecond=0)


def schedule(browser: Chrome, local: datetime) -> None:
    """Send the sheet of the act `schedule` with a time in UTC."""
    script = "document.getElementById('local').value = arguments[0]; document.getElementById('zone').value = 'UTC'"
    browser.execute_script(script, local.strftime("%Y-%m-%dT%H:%M"))
    press(browser, "form[data-once] button")


def loaded_again(browser: Chrome, text: str) -> bool:
    """Load a page again, and return whether it shows a text."""
    browser.refresh()
    return text in text_of(browser)


def by_keyboard(browser: Chrome, selector: str) -> None:
    """Move with the Tab key to an element of the page, and press Enter."""
    until(lambda: element(browser, selector))
    browser.execute_script("document.activeElement.blur()")
    for _ in range(80):
        ActionChains(browser).send_keys(Keys.TAB).perform()
        if browser.execute_script("return document.activeElement.matches(arguments[0])", selector):
            break
    ActionChains(browser).send_keys(Keys.ENTER).perform()


@pytest.mark.timeout(300)
def test_nothing_is_lost_or_published_twice(tmp_path: Path, chromium: Chrome) -> None:
    chromium.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": AN_HOUR_AHEAD_WITHOUT_TLS})
    with restartable(tmp_path / "data") as room, receiver() as hook:
        room.add_user("ida@harbour.example", "editor")
        subscribed = {"channel": {"type": "webhook", "url": hook.url}, "filter": {"query": "ferry"}}
        assert room.api("POST", "/v1/subscriptions", "NEWSWIRE_SUBSCRIBER_KEY", json=subscribed).status_code == 201
        sign_in(chromium, room.site, "ida@harbour.example")
        url = new_draft(chromium, room.site, "The ferry sails")
        write(chromium, "It left at six.")
        saved(chromium)

        # Everything is killed while a text is being saved; the page goes on where it was.
        room.running.process.send_signal(signal.SIGSTOP)
        write(chromium, " It carried forty people.")
        until(lambda: state(chromium) == "saving")
        kill(room)
        until(lambda: state(chromium) == "offline")
        write(chromium, " Written while there was no server.")
        room.running = start(room.running.data_dir, int(room.site.rpartition(":")[2]))
        until(lambda: state(chromium) == "saved")
        body = "<p>It left at six. It carried forty people. Written while there was no server.</p>"
        assert room.draft(chromium)["content"]["body"] == body

        # The browser's clock decides nothing: a time that is past for it alone is in the future.
        due = minutes_from_now(30)
        assert chromium.execute_script("return Date.now()") / 1000 > due.timestamp()
        act(chromium, "schedule")
        schedule(chromium, minutes_from_now(-5))
        until(lambda: element(chromium, "#past"))
        schedule(chromium, due)
        until(lambda: "/articles/" in chromium.current_url)
        (planned,) = room.articles("scheduled")
        assert planned["embargo_until"] == due.strftime("%Y-%m-%dT%H:%M:%SZ")

        # The sheet says who will be notified, counted by the real notify, and they are. An old page publishes nothing again.
        chromium.get(url)
        first = chromium.current_window_handle
        chromium.switch_to.new_window("tab")
        chromium.get(url)
        old = chromium.current_window_handle
        saved(chromium)
        chromium.switch_to.window(first)
        by_keyboard(chromium, "[data-act][href*='/publish?']")
        until(lambda: loaded_again(chromium, "1 subscribers by webhook"))
        by_keyboard(chromium, "form[data-once] button")
        shows(chromium, "1 of 1 subscribers notified")
        chromium.back()
        until(lambda: "/publish?" in chromium.current_url and element(chromium, "form[data-once]") is None)
        shows(chromium, "The article is published.")
        chromium.back()
        until(lambda: element(chromium, "[data-act][href*='/update?']"))
        assert element(chromium, "[data-act][href*='/publish?']") is None
        chromium.switch_to.window(old)
        press(chromium, "[data-act][href*='/publish?']")
        shows(chromium, "The article is published.")
        assert element(chromium, "form[data-once]") is None
        chromium.back()
        write(chromium, " Written in an old page.")
        saved(chromium)
        assert "Written in an old page." in room.draft(chromium)["content"]["body"]
        (article,) = room.articles("published")
        assert article["version"] == 1
        assert kinds(hook) == ["published"]

        # A text that is written from right to left is edited so.
        new_draft(chromium, room.site, "العبّارة تبحر")
        write(chromium, "غادرت العبّارة الميناء.")
        assert element(chromium, ".ProseMirror").value_of_css_property("direction") == "rtl"
