"""A document from an address, http or https: its size, its time and its redirects are bounded."""

import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO
from urllib.parse import urlsplit

import httpx

from newswire_cli.importing.content_coding import ACCEPTED, PART, decoded
from newswire_cli.importing.input_files import LARGEST_DOCUMENT, Source
from newswire_cli.importing.models import Unreadable

MOST_REDIRECTS = 5
PATIENCE = 20.0
"""Seconds for each step: connecting, every part of the answer."""
MOST_SECONDS = 120.0
IN_MEMORY = 1_000_000
HEADERS = {"Accept": "*/*", "Accept-Encoding": ACCEPTED, "User-Agent": "newswire-import"}


def is_address(path: str) -> bool:
    """Tell an address from the name of a file."""
    return urlsplit(path).scheme.lower() in ("http", "https")


@contextmanager
def fetched(url: str, patience: float = PATIENCE, most_seconds: float = MOST_SECONDS) -> Iterator[Source]:
    """Fetch a document into a temporary file, and open it as a source.

    Raises:
        Unreadable: it cannot be had, is too large or takes too long.
    """
    deadline = time.monotonic() + most_seconds
    with tempfile.SpooledTemporaryFile(IN_MEMORY) as kept:
        try:
            with (
                httpx.Client(follow_redirects=True, max_redirects=MOST_REDIRECTS, timeout=patience) as client,
                client.stream("GET", url, headers=HEADERS) as answer,
            ):
                answer.raise_for_status()
                size = 0
                codings = answer.headers.get("content-encoding", "")
                for part in decoded(_punctual(answer, deadline, most_seconds), codings, LARGEST_DOCUMENT):
                    size += len(part)
                    if size > LARGEST_DOCUMENT:
                        raise Unreadable(f"answers with more than {LARGEST_DOCUMENT // 1_000_000} MB")
                    kept.write(part)
                final, charset = str(answer.url), answer.charset_encoding
        except httpx.HTTPStatusError as error:
            raise Unreadable(f"answers {error.response.status_code}") from None
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise Unreadable(f"cannot be fetched: {error or type(error).__name__}") from None

        @contextmanager
        def again() -> Iterator[IO[bytes]]:
            kept.seek(0)
            yield kept

        yield Source(url, again, size, url=final, relative=final, charset=charset)


def _punctual(answer: httpx.Response, deadline: float, most_seconds: float) -> Iterator[bytes]:
    for part in answer.iter_raw(PART):
        if time.monotonic() > deadline:
            raise Unreadable(f"takes longer than {most_seconds:.0f} s")
        yield part
