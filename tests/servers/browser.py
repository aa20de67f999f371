"""A real browser for the tests: Chromium without a window, driven through the installed chromedriver."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

from selenium.webdriver import Chrome, ChromeOptions, ChromeService

FLAGS = (
    "--headless=new",
    "--no-sandbox",  # root and containers have none to offer
    "--disable-dev-shm-usage",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--window-size=1200,900",
)


class BrowserUnavailableError(Exception):
    """There is no Chromium or no driver for it here; the message says which."""


@contextmanager
def chromium_browser() -> Iterator[Chrome]:
    """Yield a browser with a profile of its own.

    Raises:
        BrowserUnavailableError: a program is not installed.
    """
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    driver = shutil.which("chromedriver")
    if browser is None or driver is None:
        raise BrowserUnavailableError(f"no {'chromium' if browser is None else 'chromedriver'} for the browser tests")
    with tempfile.TemporaryDirectory(prefix="newswire-chromium-", ignore_cleanup_errors=True) as profile:
        options = ChromeOptions()
        options.binary_location = browser
        for flag in (*FLAGS, f"--user-data-dir={profile}"):
            options.add_argument(flag)
        options.set_capability(
            "goog:loggingPrefs", {"browser": "ALL"}
        )  # a page's errors fail the test that asks for them
        chrome = Chrome(options=options, service=ChromeService(executable_path=driver))
        try:
            yield chrome
        finally:
            chrome.quit()
