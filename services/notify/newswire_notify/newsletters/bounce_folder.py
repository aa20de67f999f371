"""Takes reports from a maildir, which a mail server fills with what comes to the return paths."""

import asyncio
import logging
from pathlib import Path

from newswire.concurrency.repetition import repeat
from newswire.observability import metrics
from newswire_notify.newsletters.bounces import BOUNCE_DAYS, Bounces
from newswire_notify.newsletters.issues import ReaderFeedback
from newswire_notify.newsletters.mail_queue import MailQueue
from newswire_notify.newsletters.outcome import Outcome
from newswire_notify.newsletters.reports import MAX_REPORT_BYTES, Report, ReportKind, read_report
from newswire_notify.newsletters.return_path import ReturnPaths

log = logging.getLogger(__name__)

INTERVAL_SECONDS = 10.0
MAX_AT_ONCE = 500


class BounceFolder:
    """The maildir. Reports about a subscriber are handled and deleted; all others move to ``cur``."""

    def __init__(self, folder: Path, return_paths: ReturnPaths, bounces: Bounces, queue: MailQueue) -> None:
        self._folder = folder
        self._return_paths = return_paths
        self._bounces = bounces
        self._queue = queue

    async def run(self, stopping: asyncio.Event) -> None:
        """Read the folder until stopping is set."""
        await repeat(self.read_new, INTERVAL_SECONDS, stopping, log, "reports cannot be read")

    async def read_new(self) -> int:
        """Act on the reports in ``new``, and return how many named a subscriber."""
        acted = 0
        for path in await asyncio.to_thread(self._new):
            report = await asyncio.to_thread(_read, path)
            if report is not None and await self._act(report):
                acted += 1
                await asyncio.to_thread(path.unlink, missing_ok=True)
            else:
                await asyncio.to_thread(self._keep, path)
        return acted

    async def _act(self, report: Report) -> bool:
        """Act on a report; return whether it is about one of our mails and of a known kind."""
        metrics.mail_reports.labels(str(report.kind)).inc()
        subscriber = await self._subscriber(report)
        if subscriber is None or report.kind is ReportKind.OTHER:
            return False
        if report.kind is ReportKind.COMPLAINT:
            await self._complain(subscriber, report.message_id)
        elif report.outcome is Outcome.SENDER_FAULT:
            metrics.mail_sender_refused.inc()
            log.error("a receiver refuses the sender", extra={"status": report.reason})
        elif report.outcome in BOUNCE_DAYS:
            found = await self._bounces.record(subscriber, BOUNCE_DAYS[report.outcome], report.reason)
            issue = await self._queue.issue_of_mail(found.newsletter, found.id, report.message_id) if found else None
            if issue is not None:
                await self._queue.note_bounce(issue.id, subscriber)
        return True

    async def _complain(self, subscriber_id: str, message_id: str) -> None:
        subscriber = await self._bounces.complain(subscriber_id)
        if subscriber is not None:
            issue = await self._queue.issue_of_mail(subscriber.newsletter, subscriber.id, message_id)
            if issue is not None:
                await self._queue.count(issue.id, ReaderFeedback.COMPLAINED)

    async def _subscriber(self, report: Report) -> str | None:
        for address in report.return_paths:
            if (found := await self._return_paths.subscriber_of(address)) is not None:
                return found
        return None

    def _new(self) -> list[Path]:
        folder = self._folder / "new"
        return sorted(path for path in folder.iterdir() if path.is_file())[:MAX_AT_ONCE] if folder.is_dir() else []

    def _keep(self, path: Path) -> None:
        (self._folder / "cur").mkdir(exist_ok=True)
        path.replace(self._folder / "cur" / f"{path.name}:2,")


def _read(path: Path) -> Report | None:
    if path.stat().st_size > MAX_REPORT_BYTES:
        return None
    return read_report(path.read_bytes())
