"""Lists of subscribers that come in from other systems with their proof of consent, and go out to them."""

from collections import Counter
from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from newswire.http.forms import FormData
from newswire.timestamps import rfc3339
from newswire.validation.email_addresses import InvalidAddressError, check_address
from newswire.validation.rfc3339 import parse_date_time
from newswire_notify.newsletters.forms import default_choices, read_choices
from newswire_notify.newsletters.models import Newsletter, SubscriberState
from newswire_notify.newsletters.subscribers import NewSubscriber, Subscribers

COLUMNS = (
    "email",
    "consent_at",
    "consent_source",
    "state",
    "topics",
    "cadence",
    "hour",
    "weekday",
    "zone",
    "language",
)
"""Of an export; an import needs the first three."""
TOPIC_SEPARATOR = ";"
_LEFT = (SubscriberState.UNSUBSCRIBED, SubscriberState.BOUNCED, SubscriberState.COMPLAINED)
"""States of a row whose reader is to get no mail."""
MAX_REPORTED_PROBLEMS = 100
CHUNK_ROWS = 500
"""Rows that are stored together."""


@dataclass
class ImportReport:
    """What came of the rows of an import."""

    counts: Counter[str] = field(default_factory=Counter)
    """``imported``, ``known`` (subscribed or waiting already), ``suppressed`` (before, or by the row's state), ``invalid``."""
    problems: list[str] = field(default_factory=list)
    """The first invalid rows, each with its number and reason."""
    stored: int = 0
    """The rows that changed anything: readers who were added, and addresses that were suppressed."""


async def import_subscribers(
    subscribers: Subscribers, newsletter: Newsletter, rows: Iterable[tuple[int, Mapping[str, str]]], source: str
) -> ImportReport:
    """Add subscribers with their proof of consent. They are active at once, and get no confirmation.

    Suppressed addresses (unsubscribed, bounced, complained, erased) are left out: only the reader can lift that. The addresses of
    rows with such a state are suppressed, unless they subscribed here.

    Args:
        rows: the number and the columns of each row.
        source: the name of the file, for the proof.
    """
    report = ImportReport()
    chunk: dict[str, NewSubscriber] = {}
    for number, row in rows:
        try:
            found = await _read_row(subscribers, newsletter, row, source)
        except ValueError as error:
            report.counts["invalid"] += 1
            if len(report.problems) < MAX_REPORTED_PROBLEMS:
                report.problems.append(f"row {number}: {error}")
            continue
        if found.address_hash in chunk or len(chunk) == CHUNK_ROWS:
            await _store(subscribers, newsletter, chunk, report)
            chunk = {}
        chunk[found.address_hash] = found
    await _store(subscribers, newsletter, chunk, report)
    return report


async def _store(
    subscribers: Subscribers, newsletter: Newsletter, rows: Mapping[str, NewSubscriber], report: ImportReport
) -> None:
    """Store rows by the hash of their address, and count in the report how many ended how."""
    counts: Counter[str] = Counter()
    left, new = {}, []
    standings = await subscribers.standings(newsletter.id, list(rows))
    for found, (suppressed, known) in zip(rows.values(), standings, strict=True):
        if suppressed or known:
            counts["suppressed" if suppressed else "known"] += 1
        elif found.state is SubscriberState.ACTIVE:
            new.append(found)
        else:
            left[found.address_hash] = str(found.state)
    await subscribers.suppress_all(newsletter.id, left)
    imported = await subscribers.add_active(newsletter, new)
    report.stored += len(left) + imported
    # Others signed up just now.
    report.counts += counts + Counter(suppressed=len(left), imported=imported, known=len(new) - imported)


async def _read_row(
    subscribers: Subscribers, newsletter: Newsletter, row: Mapping[str, str], source: str
) -> NewSubscriber:
    try:
        address = check_address(row.get("email", ""))
    except InvalidAddressError as error:
        raise ValueError(f"email: {error}") from None
    address_hash = await subscribers.hashes.of(address)
    state = _state(row)
    if state in _LEFT:
        return NewSubscriber(address, address_hash, default_choices(newsletter), {}, state=state)
    consent = {
        "imported": {
            "from": source[:200],
            "at": rfc3339(subscribers.now),
            "consent_at": rfc3339(_consent_time(row, subscribers.now)),
            "consent_source": _consent_source(row),
        }
    }
    fields = {name: [row.get(name, "").strip()] for name in ("cadence", "hour", "weekday", "zone")}
    fields["topics"] = [part.strip() for part in row.get("topics", "").split(TOPIC_SEPARATOR) if part.strip()]
    read = read_choices(FormData(fields), newsletter, default_choices(newsletter))
    if read.wrong:
        raise ValueError(f"{read.wrong[0]}: is not one that the newsletter offers")
    language = row.get("language", "").strip() or None
    return NewSubscriber(address, address_hash, read.choices, consent, language and language[:35])


def _state(row: Mapping[str, str]) -> SubscriberState:
    """Return the state of a row; a file without this column holds active subscribers."""
    found = row.get("state", "").strip().lower() or SubscriberState.ACTIVE
    if found == SubscriberState.PENDING:
        raise ValueError("state: the reader has not confirmed; only confirmed readers are imported")
    if found not in (SubscriberState.ACTIVE, *_LEFT):
        raise ValueError(f"state: is none of {SubscriberState.ACTIVE}, {', '.join(_LEFT)}")
    return SubscriberState(found)


def _consent_time(row: Mapping[str, str], now: datetime) -> datetime:
    try:
        found = parse_date_time(row.get("consent_at", "").strip())
    except ValueError as error:
        raise ValueError(f"consent_at: {error}") from None
    if found > now:
        raise ValueError("consent_at: lies in the future")
    return found


def _consent_source(row: Mapping[str, str]) -> str:
    found = " ".join(row.get("consent_source", "").split())
    if not found:
        raise ValueError("consent_source: is empty; say where the reader consented, such as the address of the form")
    return found[:300]


async def export_subscribers(subscribers: Subscribers, newsletter: Newsletter) -> AsyncIterator[dict[str, str]]:
    """Yield the rows of an export: all subscribers, whatever their state."""
    async for found in subscribers.all_of(newsletter.id):
        imported = found.consent.get("imported") or {}
        given = found.consent.get("given") or {}
        yield {
            "email": found.address,
            "consent_at": given.get("at") or imported.get("consent_at") or "",
            "consent_source": imported.get("consent_source") or ("confirmed by link" if given else ""),
            "state": str(found.state),
            "topics": TOPIC_SEPARATOR.join(found.choices.topics),
            "cadence": str(found.choices.cadence),
            "hour": str(found.choices.hour),
            "weekday": str(found.choices.weekday),
            "zone": found.choices.zone,
            "language": found.language,
        }
