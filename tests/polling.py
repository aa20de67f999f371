"""Waits for a condition in another process."""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def until(found: Callable[[], T], seconds: float = 60) -> T:
    """Poll until the result is true, and return it; fail after the deadline."""
    deadline = time.monotonic() + seconds
    while not (value := found()):
        assert time.monotonic() < deadline, f"nothing after {seconds} s, at last {value!r}"
        time.sleep(0.02)
    return value
