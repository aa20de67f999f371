"""Waits for a condition in another process."""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

DEADLINE_SECONDS = 120.0
"""How long a test waits for what an idle machine does at once. Under load that may take a hundred times as long, and no test says
that it is fast."""


def until(found: Callable[[], T], seconds: float = DEADLINE_SECONDS) -> T:
    """Poll until the result is true, and return it; fail after the deadline."""
    deadline = time.monotonic() + seconds
    while not (value := found()):
        assert time.monotonic() < deadline, f"nothing after {seconds} s, at last {value!r}"
        time.sleep(0.02)
    return value
