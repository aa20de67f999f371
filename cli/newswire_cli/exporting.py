"""`newswire export`: an account's own articles, through the API, into a file that `newswire import` reads."""

import gzip
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import httpx
import orjson
import zstandard

from newswire_cli.console import fail
from newswire_cli.formats import ExportFormat
from newswire_cli.patience import LATER, TRIES, pause, retry_after, unreachable
from newswire_cli.progress import Progress
from newswire_ingest.articles.representations import ninjs

PATH = "/v1/articles"
PAGE = 50
AT_ONCE = 8


class Failed(Exception):
    """The export cannot go on; the message says why."""


def export(client: httpx.Client, target: Path | None, form: ExportFormat, statuses: list[str]) -> None:
    """Write one article a line, newest first; into a file that is there only once it is whole, or to stdout."""
    represent: Callable[[dict[str, Any]], Mapping[str, Any]] = ninjs if form is ExportFormat.NINJS else dict
    number = 0
    try:
        with _opened(target) as file, Progress("exporting", None) as progress:
            for status in statuses:
                for article in articles(client, status):
                    file.write(orjson.dumps(represent(article), option=orjson.OPT_APPEND_NEWLINE))
                    number += 1
                    progress.at(number)
    except Failed as error:
        fail(str(error))
    except OSError as error:
        fail(f"cannot write {target or 'to stdout'}: {error.strerror or error}")
    print(f"{number:,} articles exported", file=sys.stderr)


def articles(
    client: httpx.Client, status: str, sleep: Callable[[float], object] = time.sleep
) -> Iterator[dict[str, Any]]:
    """Go through the account's own articles of a status, newest first, whole.

    Raises:
        Failed: the site cannot be reached, refuses the key, or answers nothing for a long time.
    """
    cursor: str | None = None
    with ThreadPoolExecutor(AT_ONCE) as pool:
        while True:
            params = {"status": status, "limit": str(PAGE)} | ({"cursor": cursor} if cursor else {})
            page = _ask(client, PATH, params, sleep) or {}
            found = pool.map(lambda listed: _ask(client, f"{PATH}/{listed['id']}", {}, sleep), page["articles"])
            for article in found:
                if article and article["status"] == status:  # it may have been retracted or cancelled meanwhile
                    yield article
            cursor = page["next_cursor"]
            if not cursor:
                return


def _ask(
    client: httpx.Client, path: str, params: Mapping[str, str], sleep: Callable[[float], object]
) -> dict[str, Any] | None:
    """Return what stands at an address, None where nothing does."""
    problem = ""
    for attempt in range(TRIES):
        wait = 0.0
        try:
            answer = client.get(path, params=dict(params))
        except httpx.TransportError as error:
            problem = unreachable(client, error)
        else:
            if answer.status_code == httpx.codes.OK:
                document: dict[str, Any] = orjson.loads(answer.content)
                return document
            if answer.status_code == httpx.codes.NOT_FOUND and path != PATH:
                return None
            problem, wait = f"{answer.url} answers {answer.status_code}: {answer.text[:300]}", retry_after(answer)
            if answer.status_code not in LATER:
                break
        if attempt < TRIES - 1:
            sleep(pause(attempt, wait))
    raise Failed(problem)


@contextmanager
def _opened(target: Path | None) -> Iterator[IO[bytes]]:
    if target is None:
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    unfinished = target.with_name(f"{target.name}.unfinished")
    try:
        with unfinished.open("wb") as file:
            match target.suffix:
                case ".gz":
                    with gzip.GzipFile(filename="", fileobj=file, mode="wb", mtime=0) as packed:
                        yield packed  # type: ignore[misc] # it writes bytes, which is all that is done with it
                case ".zst":
                    with zstandard.ZstdCompressor(level=9).stream_writer(file, closefd=False) as packer:
                        yield packer
                case _:
                    yield file
        unfinished.replace(target)
    finally:
        unfinished.unlink(missing_ok=True)
