"""Reads the articles of the key's own account through the publishers' API."""

import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import orjson

from newswire_cli.client.retry import MAX_ATTEMPTS, RETRIED_STATUSES, connection_error, retry_after, retry_delay

PATH = "/v1/articles"
PAGE_SIZE = 50
MAX_CONCURRENT_REQUESTS = 8


class ReadFailedError(Exception):
    """The articles cannot be read; the message says why."""


def iterate_articles(
    client: httpx.Client, status: str, sleep: Callable[[float], object] = time.sleep
) -> Iterator[dict[str, Any]]:
    """Return the complete articles of a status, newest first.

    Raises:
        ReadFailedError: the site cannot be reached, rejects the key, or does not recover from errors.
    """
    cursor: str | None = None
    with ThreadPoolExecutor(MAX_CONCURRENT_REQUESTS) as pool:
        while True:
            params = {"status": status, "limit": str(PAGE_SIZE)} | ({"cursor": cursor} if cursor else {})
            page = _get(client, PATH, params, sleep) or {}
            found = pool.map(lambda listed: _get(client, f"{PATH}/{listed['id']}", {}, sleep), page["articles"])
            for article in found:
                if (
                    article and article["status"] == status
                ):  # it may have been retracted or cancelled since it was listed
                    yield article
            cursor = page["next_cursor"]
            if not cursor:
                return


def _get(
    client: httpx.Client, path: str, params: Mapping[str, str], sleep: Callable[[float], object]
) -> dict[str, Any] | None:
    """Return the document at a path, or None if an article does not exist. Retries as long as that can help."""
    problem = ""
    for attempt in range(MAX_ATTEMPTS):
        delay = 0.0
        try:
            response = client.get(path, params=dict(params))
        except httpx.TransportError as error:
            problem = connection_error(client, error)
        else:
            if response.status_code == httpx.codes.OK:
                document: dict[str, Any] = orjson.loads(response.content)
                return document
            if response.status_code == httpx.codes.NOT_FOUND and path != PATH:
                return None
            problem = f"{response.url} answers {response.status_code}: {response.text[:300]}"
            delay = retry_after(response)
            if response.status_code not in RETRIED_STATUSES:
                break
        if attempt < MAX_ATTEMPTS - 1:
            sleep(retry_delay(attempt, delay))
    raise ReadFailedError(problem)
