"""Fetches a document over HTTP, with limits on its size, its time and its redirects."""

import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO

import httpx

from newswire_cli.importing.content_coding import ACCEPTED, CHUNK_BYTES, decode
from newswire_ingest.importing.input_files import MAX_DOCUMENT_BYTES, InputFile
from newswire_ingest.importing.models import UnreadableSourceError

MAX_REDIRECTS = 5
STEP_TIMEOUT_SECONDS = 20.0
"""For each step: connecting, and each part of the response."""
MAX_FETCH_SECONDS = 120.0
MAX_MEMORY_BYTES = 1_000_000
HEADERS = {"Accept": "*/*", "Accept-Encoding": ACCEPTED, "User-Agent": "newswire-import"}


@contextmanager
def fetch(
    url: str, timeout: float = STEP_TIMEOUT_SECONDS, max_seconds: float = MAX_FETCH_SECONDS
) -> Iterator[InputFile]:
    """Fetch a document into a temporary file and return it as an input file.

    Raises:
        UnreadableSourceError: it cannot be fetched, is too large or takes too long.
    """
    deadline = time.monotonic() + max_seconds
    with tempfile.SpooledTemporaryFile(MAX_MEMORY_BYTES) as kept:
        try:
            with (
                httpx.Client(follow_redirects=True, max_redirects=MAX_REDIRECTS, timeout=timeout) as client,
                client.stream("GET", url, headers=HEADERS) as answer,
            ):
                answer.raise_for_status()
                size = 0
                codings = answer.headers.get("content-encoding", "")
                for part in decode(_until_deadline(answer, deadline, max_seconds), codings, MAX_DOCUMENT_BYTES):
                    size += len(part)
                    if size > MAX_DOCUMENT_BYTES:
                        raise UnreadableSourceError(f"answers with more than {MAX_DOCUMENT_BYTES // 1_000_000} MB")
                    kept.write(part)
                final, charset = str(answer.url), answer.charset_encoding
        except httpx.HTTPStatusError as error:
            raise UnreadableSourceError(f"answers {error.response.status_code}") from None
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise UnreadableSourceError(f"cannot be fetched: {error or type(error).__name__}") from None

        @contextmanager
        def again() -> Iterator[IO[bytes]]:
            kept.seek(0)
            yield kept

        yield InputFile(url, again, size, url=final, relative=final, charset=charset)


def _until_deadline(answer: httpx.Response, deadline: float, max_seconds: float) -> Iterator[bytes]:
    for part in answer.iter_raw(CHUNK_BYTES):
        if time.monotonic() > deadline:
            raise UnreadableSourceError(f"takes longer than {max_seconds:.0f} s")
        yield part
