"""Services start without the libraries that only some of their paths need."""

import subprocess
import sys

SELDOM_NEEDED = ("aiohttp", "authlib", "elasticsearch", "httpx", "joserfc", "PIL", "tantivy", "webauthn", "zxcvbn")
"""Each takes a noticeable part of a start; what needs one imports it."""


def test_services_start_without_what_they_seldom_need() -> None:
    program = (
        "import sys, newswire_ingest.app, newswire_notify.app, newswire_search.app\n"
        f"print(*sorted(set({SELDOM_NEEDED}) & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True, timeout=100)
    assert done.stdout.split() == []
