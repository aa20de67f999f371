"""What the list of sessions calls a browser."""

import pytest

from newswire_ingest.users.browser_names import browser_name

_WEBKIT = "AppleWebKit/605.1.15 (KHTML, like Gecko)"
_IPHONE = f"Mozilla/5.0 (iPhone; CPU iPhone OS 26_0 like Mac OS X) {_WEBKIT}"
_BLINK = "AppleWebKit/537.36 (KHTML, like Gecko)"


@pytest.mark.parametrize(
    ("user_agent", "name"),
    [
        (f"Mozilla/5.0 (X11; Linux x86_64) {_BLINK} HeadlessChrome/156.0.0.0 Safari/537.36", "Chrome 156, Linux"),
        (f"Mozilla/5.0 (Windows NT 10.0) {_BLINK} Chrome/150.0.0.0 Safari/537.36 Edg/150.0.1", "Edge 150, Windows"),
        ("Mozilla/5.0 (Macintosh; Intel Mac OS X 10.15; rv:149.0) Gecko/20100101 Firefox/149.0", "Firefox 149, macOS"),
        (
            f"{_IPHONE} Version/26.0 Mobile/15E148 Safari/604.1",
            "Safari 26, iPhone",
        ),
        (
            f"{_IPHONE} CriOS/150.0 Mobile/15E148 Safari/604.1",
            "Chrome 150, iPhone",
        ),
        (
            f"Mozilla/5.0 (Linux; Android 15) {_BLINK} SamsungBrowser/28.0 Chrome/130.0 Mobile",
            "Samsung Internet 28, Android",
        ),
        ("curl/8.14.1", "curl/8.14.1"),
        ("x" * 300, "x" * 60),
        ("", ""),
    ],
)
def test_a_browser_has_a_short_name(user_agent: str, name: str) -> None:
    assert browser_name(user_agent) == name
