"""Reads what the mails of a batch need of their issues, newsletters and subscribers: one call, right before they are made."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

import orjson

from newswire.auth.accounts import Account
from newswire_notify.newsletters.issues import ClaimedMail, Issue
from newswire_notify.newsletters.items import BatchItems, ChosenItems, Items
from newswire_notify.newsletters.links import MailLinks
from newswire_notify.newsletters.models import Newsletter, Recipient, SubscriberState
from newswire_notify.newsletters.repository import Newsletters
from newswire_notify.newsletters.schedule import Cadence
from newswire_notify.newsletters.subscribers import EVERY_NEWSLETTER


@dataclass
class MailFacts:
    """What the mails of one batch have in common, by id; each is read once for all of them."""

    issues: Mapping[str, Issue]
    newsletters: Mapping[str, Newsletter]
    recipients: Mapping[str, Recipient]
    items: BatchItems
    accounts: dict[str, Account | None] = field(default_factory=dict)
    chosen: dict[object, ChosenItems] = field(default_factory=dict)
    links: dict[str, MailLinks] = field(default_factory=dict)


async def read_mail_facts(newsletters: Newsletters, items: Items, mails: Sequence[ClaimedMail]) -> MailFacts:
    """Return what mails need; issues and subscribers that do not exist any more are left out.

    Raises:
        redis.exceptions.RedisError: Redis cannot be used.
    """
    ids = list({mail.issue for mail in mails})
    subscribers = list({mail.subscriber for mail in mails})
    issues, owners, recipients = await newsletters.call(
        "read_mail_facts", issues=ids, subscribers=subscribers, every=EVERY_NEWSLETTER
    )
    return MailFacts(
        {issue.id: issue for issue in (Issue.read(_pairs(fields)) for fields in issues if fields)},
        {newsletter.id: newsletter for newsletter in (_newsletter(tuple(fields)) for fields in owners if fields)},
        {id_: _recipient(id_, *fields) for id_, fields in zip(subscribers, recipients, strict=True) if fields},
        items.batch(),
    )


def _pairs(fields: Sequence[bytes]) -> dict[bytes, bytes]:
    return dict(zip(fields[::2], fields[1::2], strict=True))


@lru_cache(maxsize=64)
def _newsletter(fields: tuple[bytes, ...]) -> Newsletter:
    """Read a newsletter; its document is validated once for each version."""
    return Newsletter.read(_pairs(fields))


def _recipient(
    subscriber_id: str,
    newsletter: bytes,
    address: bytes,
    state: bytes,
    language: bytes | None,
    cadence: bytes,
    topics: bytes,
    suppressed: int,
) -> Recipient:
    return Recipient(
        id=subscriber_id,
        newsletter=newsletter.decode(),
        address=address.decode(),
        state=SubscriberState(state.decode()),
        language=(language or b"en").decode(),
        cadence=Cadence(cadence.decode()),
        topics=() if topics == b"[]" else tuple(orjson.loads(topics)),
        suppressed=bool(suppressed),
    )
