"""When an answer says "not now": what is worth trying again, how often, and after how long."""

import random

import httpx

LATER = (429, 502, 503, 504)
"""Statuses after which the same request may succeed."""
TRIES = 8
LONGEST_WAIT = 60.0
"""Seconds."""


def pause(attempt: int, asked: float = 0.0) -> float:
    """Return the seconds before the next try: what the server asked for, or twice as long each time, with jitter."""
    return min(max(asked, 2.0**attempt * random.uniform(0.25, 0.5)), LONGEST_WAIT)


def retry_after(answer: httpx.Response) -> float:
    """Return the seconds of ``Retry-After`` (RFC 9110, section 10.2.3), 0 where it says none."""
    said = answer.headers.get("Retry-After", "")
    return float(said) if said.isdecimal() else 0.0


def unreachable(client: httpx.Client, error: httpx.TransportError) -> str:
    """Say that the site cannot be reached."""
    return f"cannot reach {client.base_url}: {error or type(error).__name__}"
