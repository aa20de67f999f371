"""Runs the importer's reader on files, without a server."""

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from newswire_cli.importing.fetching import fetch
from newswire_ingest.importing.format_names import FormatName
from newswire_ingest.importing.models import FailedItem, SkippedItem, SourceArticle, SourceItem
from newswire_ingest.importing.reader import ImportReader

SAMPLES = Path(__file__).parent / "samples"
NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)


def read(*paths: Path | str, form: FormatName | None = None) -> list[SourceItem]:
    return list(ImportReader([str(path) for path in paths], form, NOW, fetch=fetch).found())


def stories(found: Sequence[SourceItem]) -> list[SourceArticle]:
    return [each for each in found if isinstance(each, SourceArticle)]


def failed_items(found: Sequence[SourceItem]) -> list[FailedItem]:
    return [each for each in found if isinstance(each, FailedItem)]


def skipped(found: Sequence[SourceItem]) -> list[SkippedItem]:
    return [each for each in found if isinstance(each, SkippedItem)]
