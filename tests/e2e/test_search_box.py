"""Suggestions in the search box, in a real browser."""

from pathlib import Path

import httpx
from selenium.webdriver import Chrome, Keys
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement

from tests.e2e.conftest import Newswire, one_process
from tests.polling import until
from tests.servers.browser import text_of

STORIES = (
    {"title": "Harbour wall repaired", "body": "<p>Masons left the harbour.</p>", "topics": ["Harbours"]},
    {"title": "Harbour <b>fees</b> & tolls", "body": "<p>Ferries pay more.</p>", "author": "Harriet Lund"},
)


def publish(installed: Newswire) -> None:
    headers = {"Authorization": f"Bearer {installed.publisher_key}"}
    for story in STORIES:
        answer = httpx.post(f"{installed.ingest}/v1/articles", headers=headers, json=story, trust_env=False)
        assert answer.status_code == 201, answer.text
    until(lambda: httpx.get(f"{installed.search}/v1/search", trust_env=False).json()["total"] == len(STORIES))


def options(browser: Chrome) -> list[WebElement]:
    return browser.find_elements(By.CSS_SELECTOR, "[role=option]")


def test_the_search_box_suggests_and_can_be_used_by_keyboard(tmp_path: Path, chromium: Chrome) -> None:
    with one_process(tmp_path / "data") as installed:
        publish(installed)
        chromium.get(f"{installed.search}/")
        box = chromium.find_element(By.NAME, "q")
        assert box.get_attribute("role") == "combobox"
        assert box.get_attribute("aria-expanded") == "false"
        box.send_keys("harb")
        until(lambda: len(options(chromium)) == 3)
        assert box.get_attribute("aria-expanded") == "true"
        assert [option.text.split("\n") for option in options(chromium)] == [
            ["Harbours", "Topic"],
            ["Harbour <b>fees</b> & tolls"],
            ["Harbour wall repaired"],
        ]
        box.send_keys(Keys.ARROW_UP)
        (chosen,) = [option for option in options(chromium) if option.get_attribute("aria-selected") == "true"]
        assert chosen.text == "Harbour wall repaired"
        assert box.get_attribute("aria-activedescendant") == chosen.get_attribute("id")
        box.send_keys(Keys.ARROW_DOWN)
        assert box.get_attribute("aria-activedescendant") is None
        box.send_keys(Keys.ESCAPE)
        assert not options(chromium)
        assert box.get_attribute("value") == "harb"
        box.send_keys("ou")
        until(lambda: len(options(chromium)) == 3)
        box.send_keys(Keys.ARROW_DOWN, Keys.ENTER)
        until(lambda: chromium.current_url == f"{installed.search}/topics/Harbours")
        until(lambda: "Harbour wall repaired" in text_of(chromium))

        box = chromium.find_element(By.NAME, "q")
        box.send_keys("harbuor wal")
        until(lambda: options(chromium))
        options(chromium)[0].click()
        until(lambda: chromium.current_url.endswith("/harbour-wall-repaired"))
        chromium.back()
        box = chromium.find_element(By.NAME, "q")
        box.clear()
        box.send_keys("masons", Keys.ENTER)
        until(lambda: "q=masons" in chromium.current_url)
        until(lambda: "One article was found." in text_of(chromium))
        said = chromium.get_log("browser")  # type: ignore[no-untyped-call]
        assert not [entry for entry in said if entry["level"] == "SEVERE" and "favicon" not in entry["message"]]
