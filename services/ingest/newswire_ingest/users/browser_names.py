"""Short names of browsers, for the list of sessions. They are what the browser says of itself, and no security depends on them."""

import re

_BROWSERS = (
    ("Edge", re.compile(r"\bEdgA?(?:iOS)?/(\d+)")),
    ("Opera", re.compile(r"\bOPR/(\d+)")),
    ("Samsung Internet", re.compile(r"\bSamsungBrowser/(\d+)")),
    ("Firefox", re.compile(r"\b(?:Firefox|FxiOS)/(\d+)")),
    ("Chrome", re.compile(r"\b(?:Headless)?Chrome/(\d+)|\bCriOS/(\d+)")),
    ("Safari", re.compile(r"\bVersion/(\d+)[\d.]* (?:Mobile/\w+ )?Safari/")),
)
"""The more special ones first: most browsers also claim to be Chrome and Safari."""
_SYSTEMS = (
    ("Android", "Android"),
    ("iPhone", "iPhone"),
    ("iPad", "iPad"),
    ("Windows", "Windows"),
    ("Mac OS X", "macOS"),
    ("CrOS", "ChromeOS"),
    ("Linux", "Linux"),
)
_MAX_OTHER_CHARS = 60


def browser_name(user_agent: str) -> str:
    """Return name, version and system of a browser; of others, the beginning of what they say; empty if they say nothing."""
    system = next((name for sign, name in _SYSTEMS if sign in user_agent), "")
    for name, pattern in _BROWSERS:
        if found := pattern.search(user_agent):
            version = next(group for group in found.groups() if group)
            return f"{name} {version}{', ' if system else ''}{system}"
    return user_agent[:_MAX_OTHER_CHARS].strip()
