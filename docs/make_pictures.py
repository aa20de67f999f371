"""Makes the pictures of docs/desk.md from the real pages: `make pictures`."""

import base64
import sys
import tempfile
from pathlib import Path

from selenium.webdriver import Chrome

from tests.e2e.test_desk import Newsroom, act, element, new_draft, newsroom, press, saved, shows, sign_in, write
from tests.polling import until
from tests.servers.browser import chromium_browser

FOLDER = Path(__file__).parent / "pictures"
WIDTH, HEIGHT = 1100, 720
MAX_BYTES = 100 * 1024
FEED = """<?xml version="1.0"?><rss version="2.0"><channel><title>Harbour archive</title><link>https://old.example/</link>
<item><title>The pier is painted</title><guid>1</guid><pubDate>Mon, 02 Mar 2026 08:00:00 GMT</pubDate>
<category>Harbour</category><category>Ferry</category><description>It is blue again.</description></item>
<item><title>Night boats until June</title><guid>2</guid><pubDate>03/04/2026 10:00</pubDate>
<category>Ferry</category><description>Every two hours.</description></item>
<item><guid>3</guid><description>Fog delays the mail boat. It will sail at noon.</description>
<pubDate>Wed, 04 Mar 2026 08:00:00 GMT</pubDate><category>Weather</category></item>
<item><guid>4</guid></item></channel></rss>"""


def take(browser: Chrome, name: str) -> None:
    """Save what the browser shows as a picture of few colours."""
    size = {"width": WIDTH, "height": HEIGHT, "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    browser.execute_script("window.scrollTo(0, 0)")
    shot = base64.b64decode(browser.execute_cdp_cmd("Page.captureScreenshot", {})["data"])
    path = FOLDER / f"{name}.png"
    path.write_bytes(shot)
    if len(shot) > MAX_BYTES:
        sys.exit(f"{path} has {len(shot):,} bytes; at most {MAX_BYTES:,} are accepted")


def make(room: Newsroom, browser: Chrome) -> None:
    """Work at the desk for a while, and take pictures."""
    room.add_user("ida@harbour.example", "admin")
    sign_in(browser, room.site, "ida@harbour.example")
    for title in ("A bridge opens in May", "Tide tables for the winter", "Council votes on the quay"):
        new_draft(browser, room.site, title)
        saved(browser)
    url = new_draft(browser, room.site, "Ferries sail again after the storm")
    element(browser, "#summary").send_keys("Two of three lines run; the third follows on Monday.")
    write(browser, "The first ferry left the harbour at six. It carried thirty people.")
    element(browser, "#authors").send_keys("Ann Lee")
    element(browser, "#category").send_keys("Transport")
    saved(browser)
    take(browser, "desk-draft")
    browser.get(f"{room.site}/desk")
    take(browser, "desk-list")
    browser.get(url)
    act(browser, "publish")
    press(browser, "form[data-once] button")
    shows(browser, "searchable after")
    take(browser, "desk-article")
    browser.get(url)
    write(browser, " Nobody was hurt.")
    act(browser, "correct")
    element(browser, "#note").send_keys("The article did not say that nobody was hurt.")
    take(browser, "desk-correct")
    make_pages_of_the_account(room, browser)


def make_pages_of_the_account(room: Newsroom, browser: Chrome) -> None:
    """Import a file, make keys, rename a label, and take pictures."""
    with tempfile.TemporaryDirectory() as folder:
        archive = Path(folder) / "harbour-archive.xml"
        archive.write_text(FEED)
        browser.get(f"{room.site}/desk/imports")
        element(browser, "#file").send_keys(str(archive))
        press(browser, "form[enctype] button")
        until(lambda: element(browser, "form[action*='/start'] button"), 60)
    take(browser, "desk-import")
    press(browser, "form[action*='/start'] button")
    shows(browser, "What the import did")
    for label in ("Content system of the harbour", "Weather service"):
        browser.get(f"{room.site}/desk/keys")
        element(browser, "#label").send_keys(label)
        press(browser, "form:has(#label) button")
        until(lambda: element(browser, "#token"))
    browser.get(f"{room.site}/desk/keys")
    take(browser, "desk-keys")
    browser.get(f"{room.site}/desk/labels?kind=topic&old=Ferry")
    element(browser, "#new-label").clear()
    element(browser, "#new-label").send_keys("Ferries")
    press(browser, "form:has(#new-label) button")
    shows(browser, "From now on it is written")
    take(browser, "desk-labels")


def main() -> None:
    """Start Newswire and a browser, and make all pictures."""
    FOLDER.mkdir(exist_ok=True)
    with (
        tempfile.TemporaryDirectory() as folder,
        newsroom(Path(folder) / "data") as room,
        chromium_browser() as browser,
    ):
        make(room, browser)


if __name__ == "__main__":
    main()
