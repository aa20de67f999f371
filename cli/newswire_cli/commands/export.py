"""`newswire export`: an account's own articles in a file that `newswire import` reads."""

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import IO, Annotated, Any

import typer

from newswire_cli.client.http import DEFAULT_DATA_DIR, DEFAULT_SITE, DataDir, PublisherKey, Site, open_client
from newswire_cli.terminal.console import fail


class ExportFormat(StrEnum):
    """The formats of an export: articles as the API returns them, or IPTC's ninjs."""

    NDJSON = "ndjson"
    NINJS = "ninjs"


def export(
    target: Annotated[
        Path | None,
        typer.Argument(
            metavar="FILE",
            help="The file to write; .gz and .zst are compressed.",
            show_default="stdout",
            dir_okay=False,
        ),
    ] = None,
    format_: Annotated[ExportFormat, typer.Option("--format", help="The format of each line.")] = ExportFormat.NDJSON,
    scheduled: Annotated[bool, typer.Option("--scheduled", help="Include scheduled articles.")] = False,
    site: Site = DEFAULT_SITE,
    key: PublisherKey = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
) -> None:
    """Export the account's own articles, newest first, one a line, as `newswire import` reads them.

    The file appears once it is complete.
    """
    client = open_client(site, key, data_dir)
    import orjson

    from newswire_cli.client.article_reader import ReadFailedError, iterate_articles
    from newswire_cli.terminal.progress import Progress
    from newswire_ingest.articles.representations import ninjs

    represent: Callable[[dict[str, Any]], Mapping[str, Any]] = ninjs if format_ is ExportFormat.NINJS else dict
    count = 0
    try:
        with (
            client,
            _opened(target) as file,
            Progress("exporting", None) as progress,
        ):
            for status in ["scheduled", "published"] if scheduled else ["published"]:
                for article in iterate_articles(client, status):
                    file.write(orjson.dumps(represent(article), option=orjson.OPT_APPEND_NEWLINE))
                    count += 1
                    progress.advance()
    except ReadFailedError as error:
        fail(str(error))
    except OSError as error:
        fail(f"cannot write {target or 'to stdout'}: {error.strerror or error}")
    print(f"{count:,} articles exported", file=sys.stderr)


@contextmanager
def _opened(target: Path | None) -> Iterator[IO[bytes]]:
    import gzip

    import zstandard

    if target is None:
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    unfinished = target.with_name(f"{target.name}.unfinished")
    try:
        with unfinished.open("wb") as file:
            match target.suffix:
                case ".gz":
                    with gzip.GzipFile(filename="", fileobj=file, mode="wb", mtime=0) as compressed:
                        yield compressed  # type: ignore[misc] # it writes bytes, which is all that is done with it
                case ".zst":
                    with zstandard.ZstdCompressor(level=9).stream_writer(file, closefd=False) as compressor:
                        yield compressor
                case _:
                    yield file
        unfinished.replace(target)
    finally:
        unfinished.unlink(missing_ok=True)
