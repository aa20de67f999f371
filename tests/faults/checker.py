"""The checker: compares the stored data of an installation with what was observed from outside, and reports every difference.

It is pure: `differences` takes a `Journal` and a `Readback`, does no I/O, and is itself tested with injected damage.
"""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from enum import StrEnum

from newswire.messaging.groups import GROUPS, groups_of
from tests.faults.journal import Journal, Receipt, Subscriber, Write
from tests.faults.readback import Indexed, Readback

SETTLING_SECONDS = 0.05
"""End times are truncated to milliseconds, times of receipt are not."""
CONCURRENT_SECONDS = 1.0
"""Webhooks that arrive this close together were in flight at the same time: their order is undefined."""


class Wrong(StrEnum):
    """The kinds of damage."""

    LOST = "lost"
    DOUBLED = "doubled"
    STALE = "stale"
    DISORDERED = "out of version order"
    PENDING = "left pending"
    CLAIMED = "left claimed"
    UNASKED = "nobody asked for it"
    NOT_ERASED = "text of a retracted article"
    CORRUPT = "not what was sent"
    DEAD = "given up"


@dataclass(frozen=True, slots=True)
class Difference:
    """One difference, and its location."""

    wrong: Wrong
    place: str
    what: str

    def __str__(self) -> str:
        return f"{self.wrong}: {self.place}: {self.what}"


def differences(
    journal: Journal, found: Readback, *, repeats_allowed: int = 0, indexed_before: Collection[str] = ()
) -> list[Difference]:
    """Return every difference.

    Args:
        journal: what was observed from outside.
        found: the stored data, read when no work is in progress.
        repeats_allowed: how many webhooks may have been sent more than once with the same ``webhook-id``; a process that was killed
            between a response and its recording must send again.
        indexed_before: ids that the index may contain without a record, because the records were flushed on purpose.
    """
    lives = journal.by_article()
    known = lives | _unanswered(journal, found)
    return [
        *_records(lives, known, found),
        *_stream(lives, known, found),
        *_groups(found),
        *_index(lives, known, found, indexed_before),
        *_deliveries(journal, known, found),
        *_receipts(journal, known, found, repeats_allowed),
        *_readers(journal, known, found),
    ]


def _unanswered(journal: Journal, found: Readback) -> dict[str, list[Write]]:
    """Return articles that exist although their requests were never acknowledged, from the records."""
    lives = {}
    for (article, version), document in found.documents.items():
        if document.get("title") in journal.unanswered and version == 1:
            topics = tuple(document.get("topics", ()))
            lives[article] = [Write(article, 1, "published", document["title"], document["category"], topics)]
    acknowledged = {write.article for write in journal.writes}
    return {article: life for article, life in lives.items() if article not in acknowledged}


def _state(indexed: Indexed | None) -> str:
    if indexed is None:
        return "nothing"
    return f"version {indexed.version}{', retracted' if indexed.retracted else ''}"


def _records(lives: dict[str, list[Write]], known: Collection[str], found: Readback) -> Iterator[Difference]:
    versions_of: dict[str, list[int]] = defaultdict(list)
    for article, number in sorted(found.documents):
        versions_of[article].append(number)
    for article, life in lives.items():
        last = life[-1]
        head = found.heads.get(article)
        if head is None:
            yield Difference(Wrong.LOST, "record", f"{article}: acknowledged and not there")
            continue
        status, version = head
        if version < last.version or (status, version) != (last.kind, last.version):
            wrong = Wrong.LOST if version < last.version else Wrong.STALE
            yield Difference(wrong, "record", f"{article}: {status} {version}, acknowledged {last.kind} {last.version}")
        if article not in found.listed:
            yield Difference(Wrong.LOST, "list of articles", article)
        versions = versions_of[article]
        if last.kind == "retracted":
            if versions:
                yield Difference(Wrong.NOT_ERASED, "version documents", f"{article}: {versions}")
            continue
        if versions != list(range(1, version + 1)):
            yield Difference(Wrong.LOST, "version documents", f"{article}: there are {versions} of {version}")
        for write in life:
            document = found.documents.get((article, write.version))
            if document is not None and (document["title"], document["version"]) != (write.title, write.version):
                yield Difference(Wrong.CORRUPT, "version document", f"{article}.{write.version}")
    for article in sorted((found.listed | found.heads.keys()) - set(known)):
        yield Difference(Wrong.UNASKED, "record", f"{article}: nobody published it")


def _stream(lives: dict[str, list[Write]], known: dict[str, list[Write]], found: Readback) -> Iterator[Difference]:
    by_article = defaultdict(list)
    for entry in found.entries:
        by_article[entry.article].append(entry)
    for article, life in lives.items():
        events = [entry.event for entry in by_article[article]]
        retractions = [write.event for write in life if write.kind == "retracted"]
        erased_up_to = max((write.rank for write in life if write.kind == "retracted"), default=0)
        expected = [write.event for write in life if write.kind == "retracted" or write.rank > erased_up_to]
        for event, times in Counter(events).items():
            if times > 1:
                yield Difference(Wrong.DOUBLED, "stream", f"{event}: {times} entries")
        for event in expected:
            if event not in events:
                yield Difference(Wrong.LOST, "stream", f"{event}: no entry")
        for write in life:
            if write.event in events and write.event not in expected and write.event not in retractions:
                yield Difference(Wrong.NOT_ERASED, "stream", write.event)
        if set(events) == set(expected) and list(dict.fromkeys(events)) != expected:
            yield Difference(Wrong.DISORDERED, "stream", f"{article}: {events}")
        for entry in by_article[article]:
            document = found.documents.get((article, entry.data.get("version", 0)))
            if document is not None and not entry.event.endswith(".retracted") and entry.data != document:
                yield Difference(Wrong.CORRUPT, "stream", f"{entry.event}: entry and record differ")
    strangers = {write.event for life in known.values() for write in life}
    for entry in found.entries:
        if entry.event not in strangers:
            yield Difference(Wrong.UNASKED, "stream", f"{entry.id} {entry.event or 'no event'}")


def _groups(found: Readback) -> Iterator[Difference]:
    for name in (group.name for group in groups_of("articles")):
        group = found.groups.get(name)
        if group is None:
            yield Difference(Wrong.LOST, f"group {name}", "there is no such group")
            continue
        if group.pending:
            yield Difference(Wrong.PENDING, f"group {name}", f"{group.pending} entries read and not handled")
        if group.last_delivered != found.last_entry and any(
            _position(entry.id) > _position(group.last_delivered) for entry in found.entries
        ):
            yield Difference(Wrong.PENDING, f"group {name}", f"read to {group.last_delivered} of {found.last_entry}")
        if group.checkpoint != group.last_delivered:
            yield Difference(
                Wrong.STALE, f"group {name}", f"checkpoint {group.checkpoint}, handled {group.last_delivered}"
            )
    for name in (group.name for group in GROUPS):
        for why in found.dead_letters.get(name, ()):
            yield Difference(Wrong.DEAD, f"dead letters of {name}", why)


def _index(
    lives: dict[str, list[Write]], known: Collection[str], found: Readback, indexed_before: Collection[str]
) -> Iterator[Difference]:
    for article, life in lives.items():
        last = life[-1]
        held = found.index.get(article)
        if held == Indexed(last.version, last.kind == "retracted"):
            continue
        what = f"{article}: holds {_state(held)}, acknowledged {last.kind} {last.version}"
        yield Difference(Wrong.LOST if held is None else Wrong.STALE, "index", what)
    for article in sorted(found.index.keys() - set(known) - set(indexed_before)):
        yield Difference(Wrong.UNASKED, "index", article)


def _told(life: list[Write], subscribers: list[Subscriber]) -> Iterator[tuple[Write, Subscriber]]:
    """Yield the recipients of each event: subscriptions that match, and those that received the article before."""
    told: dict[str, Subscriber] = {}
    for write in life:
        if write.kind == "published":
            told |= {subscriber.id: subscriber for subscriber in subscribers if subscriber.asked_for(write)}
        for subscriber in told.values():
            yield write, subscriber


def delivery_differences(journal: Journal, found: Readback, *, repeats_allowed: int = 0) -> list[Difference]:
    """Return the differences of deliveries and received webhooks only."""
    lives = journal.by_article()
    return [*_deliveries(journal, lives, found), *_receipts(journal, lives, found, repeats_allowed)]


def _told_before(write: Write, life: list[Write], subscriber: Subscriber, seen: Collection[str]) -> bool:
    return any(subscriber.delivery(earlier.event) in seen for earlier in life if earlier.rank < write.rank)


def _removed_in_time(subscriber: Subscriber, arrived: float | None, found: Readback) -> bool:
    """Return whether the record of a received delivery may be removed: everything that had ended up to a time was removed."""
    removed_until = max(found.expired_before, found.removed_until.get(subscriber.id, 0.0))
    return arrived is not None and arrived <= removed_until + SETTLING_SECONDS


def _deliveries(journal: Journal, known: dict[str, list[Write]], found: Readback) -> Iterator[Difference]:
    # In order of arrival; for a repeated webhook the last time counts, because it had not ended before.
    received = {receipt.webhook_id: receipt.at for receipt in journal.receipts if receipt.signed}
    seen = received.keys() | found.deliveries.keys()
    unexpected = dict(found.deliveries)
    acknowledged = {write.event for write in journal.writes}
    for life in known.values():
        retracted = max((write.rank for write in life if write.kind == "retracted"), default=0)
        for write, subscriber in _told(life, journal.subscribers):
            identity = subscriber.delivery(write.event)
            delivery = unexpected.pop(identity, None)
            name = f"{write.event} to {subscriber.path}"
            superseded = any(subscriber.delivery(later.event) in seen for later in life if later.rank > write.rank)
            if delivery is None:
                # An article retracted before its delivery is sent to no subscriber, and neither is its
                # retraction.
                unheard = retracted > write.rank or (
                    write.kind == "retracted" and not _told_before(write, life, subscriber, seen)
                )
                removed = _removed_in_time(subscriber, received.get(identity), found)
                if write.event in acknowledged and not superseded and not unheard and not removed:
                    yield Difference(Wrong.LOST, "deliveries", name)
                continue
            match delivery["state"]:
                case "delivered":
                    if identity not in received:
                        yield Difference(Wrong.LOST, "receiver", f"{name}: said to be delivered")
                case "superseded" if superseded:
                    pass
                case "cancelled" if retracted > write.rank:
                    pass
                case "waiting":
                    yield Difference(Wrong.PENDING, "deliveries", f"{name}: {delivery.get('failures')} attempts failed")
                case "delivering":
                    yield Difference(Wrong.CLAIMED, "deliveries", name)
                case "dead":
                    yield Difference(Wrong.DEAD, "deliveries", name)
                case other:
                    yield Difference(Wrong.LOST, "deliveries", f"{name}: {other}")
    for identity, delivery in unexpected.items():
        yield Difference(Wrong.UNASKED, "deliveries", f"{identity} {delivery.get('event')}")
    for wrong, kept in ((Wrong.PENDING, found.due), (Wrong.CLAIMED, found.in_flight)):
        for subscription, ids in kept.items():
            for identity in ids:
                if found.deliveries.get(identity, {}).get("state") not in ("waiting", "delivering"):
                    yield Difference(wrong, f"queue of {subscription}", f"{identity} has ended")
    idle = set(found.endpoints) - {name for kept in (found.due, found.in_flight) for name, ids in kept.items() if ids}
    for subscription in sorted(idle):
        yield Difference(Wrong.PENDING, "endpoints", f"{subscription} is to be looked at, and has nothing to do")


def _receipts(
    journal: Journal, known: dict[str, list[Write]], found: Readback, repeats_allowed: int
) -> Iterator[Difference]:
    expected: dict[tuple[str, str], Subscriber] = {}
    for life in known.values():
        for write, subscriber in _told(life, journal.subscribers):
            expected[subscriber.path, write.event] = subscriber
    firsts: dict[tuple[str, str], dict[str, Receipt]] = defaultdict(dict)
    repeats: Counter[str] = Counter()
    for receipt in journal.receipts:
        owner = expected.get((receipt.path, receipt.event))
        if owner is None:
            yield Difference(Wrong.UNASKED, "receiver", f"{receipt.event} at {receipt.path}")
            continue
        if not receipt.signed:
            yield Difference(Wrong.CORRUPT, "receiver", f"{receipt.event} at {receipt.path}: the signature is wrong")
        if receipt.webhook_id != owner.delivery(receipt.event):
            yield Difference(Wrong.DOUBLED, "receiver", f"{receipt.event} at {receipt.path} as {receipt.webhook_id}")
        seen = firsts[receipt.path, receipt.article]
        if receipt.event in seen:
            repeats[f"{receipt.event} at {receipt.path}"] += 1
        else:
            seen[receipt.event] = receipt
    if repeats.total() > repeats_allowed:
        for name, times in repeats.items():
            yield Difference(Wrong.DOUBLED, "receiver", f"{name}: {times + 1} times")
    for (path, article), seen in firsts.items():
        newest: Receipt | None = None
        for receipt in seen.values():
            if newest and receipt.rank < newest.rank and receipt.at - newest.at > CONCURRENT_SECONDS:
                yield Difference(Wrong.DISORDERED, "receiver", f"{article} at {path}: {receipt.event} came late")
            if newest is None or receipt.rank > newest.rank:
                newest = receipt


def _readers(journal: Journal, known: dict[str, list[Write]], found: Readback) -> Iterator[Difference]:
    written = {write.event: write for life in known.values() for write in life}
    places = {entry.event: _position(entry.id) for entry in found.entries}
    for reading in journal.readings:
        newest = (0, 0)
        seen: set[str] = set()
        for what in reading.heard:
            name = f"{what.entry} {what.event}"
            write = written.get(what.event)
            if write is None or reading.category not in (None, write.category):
                yield Difference(Wrong.UNASKED, reading.place, name)
            if what.event in seen:
                yield Difference(Wrong.DOUBLED, reading.place, name)
                continue
            seen.add(what.event)
            # Erased entries have no position any more.
            place = _position(what.entry) if what.entry else places.get(what.event, newest)
            if place < newest:
                yield Difference(Wrong.DISORDERED, reading.place, name)
            newest = max(newest, place)
        first = min((places[event] for event in seen if event in places), default=None)
        for entry in found.entries if first else ():
            asked = reading.category in (None, entry.data.get("category"))
            if asked and first and _position(entry.id) > first and entry.event not in seen:
                yield Difference(Wrong.LOST, reading.place, f"{entry.id} {entry.event}")


def repeats(journal: Journal) -> int:
    """Return how many webhooks were received again."""
    return len(journal.receipts) - len({(receipt.path, receipt.event) for receipt in journal.receipts})


def _position(entry: str) -> tuple[int, int]:
    time, _, sequence = entry.partition("-")
    return int(time), int(sequence or 0)
