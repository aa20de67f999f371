"""Counts what an import has done, and prints it."""

import sys
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from newswire_cli.importing.uploader import Effect, UploadResult
from newswire_ingest.importing.models import SourceArticle

MAX_DISTINCT_NOTES = 50


@dataclass
class ImportSummary:
    """The results of an import so far."""

    effects: Counter[Effect] = field(default_factory=Counter)
    skipped: Counter[str] = field(default_factory=Counter)
    """Skipped items by reason."""
    notes: Counter[str] = field(default_factory=Counter)
    """Articles by what was changed in them."""
    failed: int = 0

    def count(self, result: UploadResult) -> None:
        """Count the server's result for one article."""
        self.effects[result.effect] += 1
        if result.effect is Effect.SKIPPED:
            self.skipped[result.reason] += 1
        elif result.effect is Effect.FAILED:
            self.failed += 1

    def add_notes(self, article: SourceArticle) -> None:
        """Count what was changed in one article, up to `MAX_DISTINCT_NOTES` different notes."""
        for note in article.notes:
            if note in self.notes or len(self.notes) < MAX_DISTINCT_NOTES:
                self.notes[note] += 1

    def record(self, seconds: float) -> dict[str, Any]:
        """Return the summary for JSON output."""
        return {
            "created": self.effects[Effect.CREATED],
            "updated": self.effects[Effect.UPDATED],
            "unchanged": self.effects[Effect.UNCHANGED],
            "failed": self.failed,
            "skipped": dict(self.skipped.most_common()),
            "notes": dict(self.notes.most_common()),
            "seconds": round(seconds, 3),
        }


def print_summary(summary: ImportSummary, seconds: float, *, dry_run: bool = False) -> None:
    """Print the counts. Those of a dry run go to stderr, because its table may be redirected into a file."""
    sent = sum(summary.effects.values())
    counts = [f"{summary.effects[effect]:,} {effect}" for effect in (Effect.CREATED, Effect.UPDATED, Effect.UNCHANGED)]
    rate = f"{sent / seconds:,.0f} articles a second" if sent else "nothing sent"
    counts.append(f"{summary.failed:,} {'would fail' if dry_run else 'failed'}")
    skipped = f"{summary.skipped.total():,} skipped ({'nothing was written' if dry_run else rate})"
    lines = [f"{', '.join(counts)}, {skipped}"]
    lines += [f"  {count:,} × skipped: {reason}" for reason, count in summary.skipped.most_common(MAX_DISTINCT_NOTES)]
    lines += [f"  {count:,} × {note}" for note, count in summary.notes.most_common()]
    for line in lines:
        print(line, file=sys.stderr if dry_run else sys.stdout, flush=True)
