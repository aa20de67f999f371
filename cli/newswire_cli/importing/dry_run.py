"""Shows what an import would do, without changing anything."""

import sys
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

import httpx

from newswire_cli.importing.fetching import fetch
from newswire_cli.importing.run import CHUNK_ARTICLES, CHUNK_BYTES
from newswire_cli.importing.summary import ImportSummary, print_summary
from newswire_cli.importing.uploader import Effect, Uploader, UploadStoppedError
from newswire_cli.terminal.console import fail, say
from newswire_cli.terminal.json_output import print_json
from newswire_cli.terminal.progress import Progress
from newswire_cli.terminal.tables import Record, member, print_records
from newswire_ingest.importing.format_names import FormatName
from newswire_ingest.importing.models import FailedItem, SkippedItem, SourceArticle, SourceItem
from newswire_ingest.importing.reader import ImportReader

MAX_TERMINAL_ROWS = 200
"""The maximum of rows on a terminal; a file, a pipe or JSON receives all."""
_LABELS = {
    Effect.CREATED: "new",
    Effect.UPDATED: "changed",
    Effect.UNCHANGED: "unchanged",
    Effect.SKIPPED: "skipped",
    Effect.FAILED: "problem",
}
_COLUMNS = {
    "what": member("what"),
    "external_id": member("external_id"),
    "title": member("title"),
    "from": lambda row: f"{row['file']}:{row['line']}" if row["line"] else str(row["file"]),
    "remarks": lambda row: "; ".join(row["remarks"]),
}


def dry_run(
    client: httpx.Client,
    paths: Sequence[str],
    format_: FormatName | None,
    *,
    expired: bool = False,
    as_json: bool = False,
) -> int:
    """Print what an import would do with each item; return the exit code of the command."""
    reading, summary, started = (
        ImportReader(paths, format_, datetime.now(UTC), expired, fetch),
        ImportSummary(),
        time.monotonic(),
    )
    rows: list[Record] = []
    omitted = 0
    try:
        with Progress("comparing", reading.size()) as progress:
            for row in _rows(client, reading, summary, progress):
                progress.update(reading.read)
                if len(rows) < MAX_TERMINAL_ROWS or as_json or not sys.stdout.isatty():
                    rows.append(row)
                else:
                    omitted += 1
    except UploadStoppedError as error:
        fail(str(error))
    seconds = time.monotonic() - started
    if as_json:
        print_json({"items": rows, "summary": summary.record(seconds)})
    else:
        print_records(rows, _COLUMNS)
        if omitted:
            say(f"… and {omitted:,} more; redirect the table into a file to see all of it")
        print_summary(summary, seconds, dry_run=True)
    return 1 if summary.failed else 0


def _rows(client: httpx.Client, reading: ImportReader, summary: ImportSummary, progress: Progress) -> Iterator[Record]:
    uploader = Uploader(client, dry_run=True, report_outage=progress.print)
    chunk: list[SourceItem] = []
    size = 0
    for found in reading.found():
        chunk.append(found)
        size += len(found.draft["body"]) if isinstance(found, SourceArticle) else 0
        if len(chunk) >= CHUNK_ARTICLES or size >= CHUNK_BYTES:
            yield from _chunk_rows(uploader, chunk, summary)
            chunk, size = [], 0
    yield from _chunk_rows(uploader, chunk, summary)


def _chunk_rows(uploader: Uploader, chunk: Sequence[SourceItem], summary: ImportSummary) -> Iterator[Record]:
    """Ask the server what it would do with the articles of a chunk; return a row for each item, in order."""
    results = iter(uploader.send([found.draft for found in chunk if isinstance(found, SourceArticle)]))
    for found in chunk:
        match found:
            case SkippedItem():
                summary.skipped[found.reason] += 1
                yield _row("skipped", found, [found.reason])
            case FailedItem():
                summary.failed += 1
                yield _row("problem", found, [found.reason])
            case SourceArticle():
                summary.add_notes(found)
                result = next(results)
                summary.count(result)
                remarks = [result.reason or ", ".join(result.changed), *found.notes]
                yield _row(_LABELS[result.effect], found, [remark for remark in remarks if remark])


def _row(what: str, found: SourceItem, remarks: list[str]) -> dict[str, Any]:
    draft = found.draft if isinstance(found, SourceArticle) else {}
    return {
        "what": what,
        "external_id": draft.get("external_id"),
        "title": draft.get("title"),
        "file": found.file,
        "line": found.line,
        "remarks": remarks,
    }
