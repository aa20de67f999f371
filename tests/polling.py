"""Waiting for something to come true in another process."""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def until(found: Callable[[], T], seconds: float = 30) -> T:
    """Ask again and again for something true, and return it; fail after the deadline."""
    deadline = time.monotonic() + seconds
    while not (value := found()):
        assert time.monotonic() < deadline, f"nothing after {seconds} s, at last {value!r}"
        time.sleep(0.02)
    return value
