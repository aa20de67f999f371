"""Makes the pictures of docs/desk.md from the real pages: `make pictures`."""

import base64
import sys
import tempfile
from pathlib import Path

from selenium.webdriver import Chrome

from tests.e2e.test_desk import Newsroom, act, element, new_draft, newsroom, press, saved, shows, sign_in, write
from tests.servers.browser import chromium_browser

FOLDER = Path(__file__).parent / "pictures"
WIDTH, HEIGHT = 1100, 720
MAX_BYTES = 100 * 1024


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
    room.add_user("ida@harbour.example", "editor")
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
