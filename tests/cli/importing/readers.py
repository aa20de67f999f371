"""What the importer finds in a file, without a server."""

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from newswire_cli.importing.format_names import FormatName
from newswire_cli.importing.models import Fault, Found, Skipped, Story
from newswire_cli.importing.reader import Reading

SAMPLES = Path(__file__).parent / "samples"
NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)


def read(*paths: Path | str, form: FormatName | None = None) -> list[Found]:
    return list(Reading([str(path) for path in paths], form, NOW).found())


def stories(found: Sequence[Found]) -> list[Story]:
    return [each for each in found if isinstance(each, Story)]


def faults(found: Sequence[Found]) -> list[Fault]:
    return [each for each in found if isinstance(each, Fault)]


def skipped(found: Sequence[Found]) -> list[Skipped]:
    return [each for each in found if isinstance(each, Skipped)]
