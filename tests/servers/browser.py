"""A real browser for the tests: headless Chromium, driven by the installed chromedriver."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

from selenium.webdriver import Chrome, ChromeOptions, ChromeService
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement

from tests.polling import until

FLAGS = (
    "--headless=new",
    "--no-sandbox",  # not available for root and in containers
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
    """Chromium or its driver is not installed; the message says which."""


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
        )  # errors of a page fail the tests that check them
        chrome = Chrome(options=options, service=ChromeService(executable_path=driver))
        try:
            yield chrome
        finally:
            chrome.quit()


def text_of(browser: Chrome, selector: str = "main") -> str:
    """Return the text that an element shows; empty if there is none, as while another page takes the place of this one."""
    return str(browser.execute_script("return document.querySelector(arguments[0])?.innerText ?? ''", selector)).strip()


def click(browser: Chrome, element: WebElement) -> None:
    """Click where a person would, after scrolling to it: a click while the page still scrolls may miss."""
    browser.execute_script("arguments[0].scrollIntoView({block: 'center', behavior: 'instant'})", element)
    element.click()


@contextmanager
def another_page(browser: Chrome) -> Iterator[None]:
    """Wait, at the end of the block, for the page that follows the present one."""
    before = browser.find_elements(By.TAG_NAME, "html")
    yield
    # Between the two there is no element at all.
    until(lambda: browser.find_elements(By.TAG_NAME, "html") not in (before, []))
