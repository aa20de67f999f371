"""`newswire import`: what it does with every story, and what it says."""

import sys
import threading
import time
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import httpx

from newswire_cli.console import fail, say
from newswire_cli.formats import FormatName
from newswire_cli.importing.fetching import is_address
from newswire_cli.importing.reading import Reading
from newswire_cli.importing.sending import Answer, Sender, Stopped, Verdict
from newswire_cli.importing.stories import Fault, Found, Skipped, Story
from newswire_cli.progress import Progress
from newswire_cli.tables import show

CHUNK, CHUNK_BYTES = 200, 2_000_000
"""Articles, and bytes, that are sent together."""
AT_ONCE = 3
"""Chunks under way at once: one is read here while others are published there."""
MOST_NOTES = 50
_FORESEEN = {
    Verdict.CREATED: "new",
    Verdict.UPDATED: "changed",
    Verdict.UNCHANGED: "unchanged",
    Verdict.LEFT: "skipped",
    Verdict.FAILED: "problem",
}
ROWS_SHOWN = 200
"""Rows of a dry run on a terminal; a file or a pipe gets all."""


@dataclass
class Tally:
    """What became of everything so far."""

    verdicts: Counter[Verdict] = field(default_factory=Counter)
    skipped: Counter[str] = field(default_factory=Counter)
    notes: Counter[str] = field(default_factory=Counter)
    faults: int = 0

    def count(self, answer: Answer) -> None:
        """Count what the server answered to a story."""
        self.verdicts[answer.verdict] += 1
        if answer.verdict is Verdict.LEFT:
            self.skipped[answer.reason] += 1
        elif answer.verdict is Verdict.FAILED:
            self.faults += 1

    def note(self, story: Story) -> None:
        """Count what was changed in a story; the first places are named."""
        for note in story.notes:
            if note in self.notes or len(self.notes) < MOST_NOTES:
                self.notes[note] += 1


def check(paths: Sequence[str]) -> None:
    """End the command (exit code 2) where a path names nothing."""
    for path in paths:
        if not is_address(path) and not Path(path).exists():
            fail(f"there is no {path}", code=2)


def import_all(
    client: httpx.Client, paths: Sequence[str], form: FormatName | None, *, silent: bool, expired: bool = False
) -> int:
    """Import everything; return the command's exit code."""
    reading, tally, began = Reading(paths, form, datetime.now(UTC), expired), Tally(), time.monotonic()
    stopped = ""
    with Progress("importing", reading.size()) as progress:
        try:
            _send_all(reading, client, silent, tally, progress)
        except Stopped as error:
            stopped = f"{error}. Run the same command again to go on: what is there already is left as it is."
        except KeyboardInterrupt:
            stopped = "interrupted. Run the same command again to go on: what is there already is left as it is."
    _summary(tally, time.monotonic() - began)
    if stopped:
        fail(stopped)
    return 1 if tally.faults else 0


def preview(client: httpx.Client, paths: Sequence[str], form: FormatName | None, *, expired: bool = False) -> int:
    """Show what an import would do; return the command's exit code."""
    reading, tally, began = Reading(paths, form, datetime.now(UTC), expired), Tally(), time.monotonic()
    rows: list[list[str]] = []
    left = 0
    try:
        with Progress("comparing", reading.size()) as progress:
            for row in _preview(client, reading, tally, progress):
                progress.at(reading.read)
                if len(rows) < ROWS_SHOWN or not sys.stdout.isatty():
                    rows.append(row)
                else:
                    left += 1
    except Stopped as error:
        fail(str(error))
    show(["what", "external_id", "title", "from", "remarks"], rows)
    if left:
        say(f"… and {left:,} more; write the table into a file to see all of it")
    _summary(tally, time.monotonic() - began, dry_run=True)
    return 1 if tally.faults else 0


def _send_all(reading: Reading, client: httpx.Client, silent: bool, tally: Tally, progress: Progress) -> None:
    stopping = threading.Event()
    sender = Sender(client, silent=silent, sleep=stopping.wait, waiting=progress.print)
    under_way: deque[tuple[list[Story], Future[list[Answer]]]] = deque()
    with ThreadPoolExecutor(AT_ONCE) as pool:
        try:
            for chunk in _chunks(reading.found(), tally, progress):
                under_way.append((chunk, pool.submit(sender.send, [story.draft for story in chunk])))
                while len(under_way) >= AT_ONCE:
                    _settle(*under_way.popleft(), tally, progress)
                progress.at(reading.read)
            while under_way:
                _settle(*under_way.popleft(), tally, progress)
        except BaseException:
            stopping.set()
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _chunks(found: Iterator[Found], tally: Tally, progress: Progress) -> Iterator[list[Story]]:
    chunk: list[Story] = []
    size = 0
    for each in found:
        match each:
            case Skipped():
                tally.skipped[each.reason] += 1
            case Fault():
                tally.faults += 1
                progress.print(_placed(each.file, each.line, each.reason))
            case Story():
                tally.note(each)
                chunk.append(each)
                size += len(each.draft["body"])
                if len(chunk) >= CHUNK or size >= CHUNK_BYTES:
                    yield chunk
                    chunk, size = [], 0
    if chunk:
        yield chunk


def _placed(file: str, line: int | None, reason: str) -> str:
    return f"{file}:{line}: {reason}" if line else f"{file}: {reason}"


def _settle(chunk: list[Story], answers: "Future[list[Answer]]", tally: Tally, progress: Progress) -> None:
    for story, answer in zip(chunk, answers.result(), strict=True):
        tally.count(answer)
        if answer.verdict is Verdict.FAILED:
            progress.print(_placed(story.file, story.line, answer.reason))


def _preview(client: httpx.Client, reading: Reading, tally: Tally, progress: Progress) -> Iterator[list[str]]:
    sender = Sender(client, dry_run=True, waiting=progress.print)
    chunk: list[Found] = []
    size = 0
    for found in reading.found():
        chunk.append(found)
        size += len(found.draft["body"]) if isinstance(found, Story) else 0
        if len(chunk) >= CHUNK or size >= CHUNK_BYTES:
            yield from _foreseen(sender, chunk, tally)
            chunk, size = [], 0
    yield from _foreseen(sender, chunk, tally)


def _foreseen(sender: Sender, chunk: Sequence[Found], tally: Tally) -> Iterator[list[str]]:
    """Ask the server what it would do with the stories of a chunk; return a row for everything in it, in its order."""
    answers = iter(sender.send([found.draft for found in chunk if isinstance(found, Story)]))
    for found in chunk:
        place = f"{found.file}:{found.line}" if found.line else found.file
        match found:
            case Skipped():
                tally.skipped[found.reason] += 1
                yield ["skipped", "", "", place, found.reason]
            case Fault():
                tally.faults += 1
                yield ["problem", "", "", place, found.reason]
            case Story():
                tally.note(found)
                answer = next(answers)
                tally.count(answer)
                remarks = [answer.reason or ", ".join(answer.changed), *found.notes]
                what, draft = _FORESEEN[answer.verdict], found.draft
                yield [what, draft["external_id"], draft["title"], place, "; ".join(filter(None, remarks))]


def _summary(tally: Tally, seconds: float, *, dry_run: bool = False) -> None:
    sent = sum(tally.verdicts.values())
    counts = [
        f"{tally.verdicts[verdict]:,} {verdict}" for verdict in (Verdict.CREATED, Verdict.UPDATED, Verdict.UNCHANGED)
    ]
    rate = f"{sent / seconds:,.0f} articles a second" if sent else "nothing sent"
    counts.append(f"{tally.faults:,} {'would fail' if dry_run else 'failed'}")
    lines = [
        f"{', '.join(counts)}, {sum(tally.skipped.values()):,} skipped ({'nothing was written' if dry_run else rate})"
    ]
    lines += [f"  {number:,} × skipped: {reason}" for reason, number in tally.skipped.most_common(MOST_NOTES)]
    lines += [f"  {number:,} × {note}" for note, number in tally.notes.most_common()]
    for line in lines:  # a dry run's table may go into a file, its summary is for the terminal
        print(line, file=sys.stderr if dry_run else sys.stdout, flush=True)
