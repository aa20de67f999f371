"""Retries of HTTP requests: which responses are retried, how often, and after how long."""

import httpx

from newswire.concurrency.backoff import delay_after

RETRIED_STATUSES = (429, 502, 503, 504)
"""The same request may succeed later."""
MAX_ATTEMPTS = 8
FIRST_DELAY_SECONDS, MAX_DELAY_SECONDS = 0.5, 60.0


def retry_delay(attempt: int, requested: float = 0.0) -> float:
    """Return the seconds before the next attempt: exponential backoff with jitter, or what the server requested if longer."""
    return min(max(requested, delay_after(attempt, FIRST_DELAY_SECONDS, MAX_DELAY_SECONDS)), MAX_DELAY_SECONDS)


def retry_after(response: httpx.Response) -> float:
    """Return the seconds in ``Retry-After`` (RFC 9110, section 10.2.3); 0 if the header is absent or holds a date."""
    value = response.headers.get("Retry-After", "")
    return float(value) if value.isdecimal() else 0.0


def connection_error(client: httpx.Client, error: httpx.TransportError) -> str:
    """Return the error message for a site that cannot be reached."""
    return f"cannot reach {client.base_url}: {error or type(error).__name__}"
