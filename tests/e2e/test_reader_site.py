"""The reader site in a real browser: new headlines, the reader's time zone, narrow screens, right to left, no scripts."""

from itertools import product
from pathlib import Path
from typing import Any

import httpx
import pytest
from selenium.webdriver import Chrome, Keys
from selenium.webdriver.common.by import By

from tests.e2e.conftest import Newswire, one_process
from tests.npm import node_with
from tests.polling import until
from tests.servers.browser import text_of

LONG = "Donaudampfschifffahrtsgesellschaftsverwaltungsangelegenheiten"
TABLE = "<table><tr>" + "<th>A column of the timetable</th>" * 12 + "</tr></table>"
STORIES: list[dict[str, Any]] = [
    {
        "title": f"Ferries of the {LONG} sail",
        "summary": "They sail again.",
        "body": f"<p>Timetable.</p>{TABLE}<pre>{'ferry ' * 60}</pre>",
        "category": LONG,
        "topics": [(LONG * 2)[:100]],
        "authors": [LONG],
        "language": "en",
        "published_at": "2026-03-01T23:30:00Z",
    },
    {"title": "العبّارة تبحر من جديد", "body": "<p>غادرت العبّارة الميناء.</p><ul><li>أولا</li></ul>", "language": "ar"},
]
AXE = Path(__file__).parent / "axe"
VIOLATIONS = """
const done = arguments[arguments.length - 1];
axe.run().then((found) => done(found.violations.map((each) => [each.id, each.nodes[0].html])));
"""
MAX_SCROLL = "return document.scrollingElement.scrollWidth - document.scrollingElement.clientWidth"


def publish(installed: Newswire, story: dict[str, Any], total: int) -> str:
    headers = {"Authorization": f"Bearer {installed.publisher_key}"}
    answer = httpx.post(f"{installed.ingest}/v1/articles", headers=headers, json=story, trust_env=False)
    assert answer.status_code == 201, answer.text
    until(lambda: httpx.get(f"{installed.search}/v1/search", trust_env=False).json()["total"] == total)
    return str(answer.json()["url"])


def resize(chromium: Chrome, width: int) -> None:
    metrics = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": False}
    chromium.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)


@pytest.mark.timeout(300)
def test_the_site_in_a_browser(tmp_path: Path, chromium: Chrome) -> None:
    with one_process(tmp_path / "data") as installed:
        urls = [publish(installed, story, number) for number, story in enumerate(STORIES, 1)]
        pages = [
            f"{installed.search}{path}"
            for path in ("/", "/live", "/search?q=ferries", "/about", f"/sections/{LONG}", "/no")
        ]
        for address in (*pages, *urls):
            chromium.get(address)
            for width in (320, 390, 1280):
                resize(chromium, width)
                assert chromium.execute_script(MAX_SCROLL) == 0, (address, width)

        chromium.execute_cdp_cmd("Emulation.setTimezoneOverride", {"timezoneId": "Asia/Tokyo"})
        chromium.get(urls[0])
        time = chromium.find_element(By.CSS_SELECTOR, ".byline time")
        assert time.text.startswith("2 March 2026, 08:30")
        assert time.get_attribute("title") == "1 March 2026, 23:30 UTC"
        assert time.get_attribute("datetime") == "2026-03-01T23:30:00Z"

        chromium.get(urls[1])
        body = chromium.find_element(By.CSS_SELECTOR, ".body")
        assert (body.value_of_css_property("direction"), body.get_attribute("lang")) == ("rtl", "ar")
        assert chromium.find_element(By.TAG_NAME, "html").get_attribute("dir") == "ltr"

        chromium.get(urls[0])
        chromium.find_element(By.TAG_NAME, "body").send_keys(Keys.TAB)
        skip = chromium.switch_to.active_element
        assert skip.get_attribute("href").endswith("#main")  # type: ignore[union-attr]
        assert skip.rect["y"] >= 0
        regions = chromium.find_elements(By.CSS_SELECTOR, ".body [role=region][tabindex='0']")
        assert [region.get_attribute("aria-label") for region in regions] == ["Table", "Preformatted text"]

        chromium.get(f"{installed.search}/")
        box = chromium.find_element(By.CSS_SELECTOR, "[data-live]")
        assert not box.is_displayed()
        publish(installed, {"title": "A tug is launched", "body": "<p>It floats.</p>"}, 3)
        until(lambda: text_of(chromium, "[data-live] p") == "1 new headline")
        publish(installed, {"title": "A buoy is found", "body": "<p>It blinks.</p>"}, 4)
        until(lambda: text_of(chromium, "[data-live] p") == "2 new headlines")
        assert "A tug is launched" not in text_of(chromium, "main")
        chromium.find_element(By.CSS_SELECTOR, "[data-live] a").click()
        until(lambda: "A tug is launched" in text_of(chromium, "main"))
        assert not chromium.find_element(By.CSS_SELECTOR, "[data-live]").is_displayed()
        assert not chromium.get_cookies()
        said = chromium.get_log("browser")  # type: ignore[no-untyped-call]
        assert not [entry for entry in said if entry["level"] == "SEVERE" and "/no - " not in entry["message"]]


@pytest.mark.timeout(300)
def test_pages_have_no_barriers(tmp_path: Path, chromium: Chrome) -> None:
    node_with("axe-core", AXE)
    axe = (AXE / "node_modules" / "axe-core" / "axe.min.js").read_text()
    with one_process(tmp_path / "data") as installed:
        urls = [publish(installed, story, number) for number, story in enumerate(STORIES, 1)]
        paths = ("/", "/live", "/search?q=ferries&topic=none", "/about", f"/sections/{LONG}", f"/authors/{LONG}", "/no")
        for scheme, address in product(("light", "dark"), [*urls, *(f"{installed.search}{path}" for path in paths)]):
            media = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
            chromium.execute_cdp_cmd("Emulation.setEmulatedMedia", media)
            chromium.get(address)
            chromium.execute_cdp_cmd("Runtime.evaluate", {"expression": axe})  # what the policy of pages does not admit
            assert chromium.execute_async_script(VIOLATIONS) == [], (address, scheme)


@pytest.mark.timeout(300)
def test_pages_are_complete_without_scripts(tmp_path: Path, chromium: Chrome) -> None:
    with one_process(tmp_path / "data") as installed:
        url = publish(installed, STORIES[0], 1)
        chromium.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
        chromium.get(url)
        assert "1 March 2026, 23:30 UTC" in text_of(chromium, ".byline")
        buttons = chromium.find_elements(By.CSS_SELECTOR, ".share button")
        assert [button.is_displayed() for button in buttons] == [False, False]
        chromium.get(f"{installed.search}/search")
        box = chromium.find_element(By.ID, "q")
        box.send_keys("ferries", Keys.ENTER)
        until(lambda: "q=ferries" in chromium.current_url)
        assert "One article was found." in text_of(chromium, "main")
