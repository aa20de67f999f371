"""Whether what was acknowledged is what was found and heard: plain lists in, what is wrong out."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

PUBLISHED = "newswire.article.published.v1"
RETRACTED = "newswire.article.retracted.v1"


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """A write that the publisher got a 2xx for."""

    id: str
    version: int
    retracted: bool = False


@dataclass(frozen=True, slots=True)
class Found:
    """An article on a page of search results."""

    id: str
    version: int


@dataclass(frozen=True, slots=True)
class Heard:
    """A webhook that a receiver got. One that it refused counts as heard, for it must come again under the same id."""

    subscription: str
    webhook: str
    type: str
    article: str


def wrong_in_search(acknowledged: Iterable[Acknowledged], found: Iterable[Found]) -> list[str]:
    """Every article is found once, in its version; a retracted one, or one that nobody published, is not."""
    expected = Counter(Found(write.id, write.version) for write in acknowledged if not write.retracted)
    actual = Counter(found)
    return [f"not found: {item.id} version {item.version}" for item in expected - actual] + [
        f"found but not expected, or twice: {item.id} version {item.version}" for item in actual - expected
    ]


def wrong_at_receivers(
    acknowledged: Iterable[Acknowledged], heard: Iterable[Heard], subscriptions: Iterable[str]
) -> list[str]:
    """Every subscription heard of every article, under one webhook id an event, and of each retraction of what it was sent.

    An article that was retracted before it went out may be passed over altogether.
    """
    writes = list(acknowledged)
    ids: dict[tuple[str, str, str], set[str]] = {}
    for webhook in heard:
        ids.setdefault((webhook.subscription, webhook.article, webhook.type), set()).add(webhook.webhook)
    wrong = []
    for subscription in subscriptions:
        for write in writes:
            published = (subscription, write.id, PUBLISHED) in ids
            retracted = (subscription, write.id, RETRACTED) in ids
            if not published and not write.retracted:
                wrong.append(f"{subscription} never heard of {write.id}")
            if published and write.retracted and not retracted:
                wrong.append(f"{subscription} never heard of the retraction of {write.id}")
            if retracted and not write.retracted:
                wrong.append(f"{subscription} heard of a retraction of {write.id}, which nobody retracted")
    known = {write.id for write in writes}
    wrong += [f"{who} heard of {article}, which nobody published" for who, article, _ in ids if article not in known]
    return wrong + changing(ids)


def changing(ids: Mapping[tuple[str, str, str], set[str]]) -> list[str]:
    """Return the events that came under more than one webhook id, and the ids that stood for more than one event."""
    owners = Counter((who, webhook) for (who, _, _), webhooks in ids.items() for webhook in webhooks)
    return [
        f"{who} got {kind} of {article} under {len(webhooks)} ids"
        for (who, article, kind), webhooks in ids.items()
        if len(webhooks) > 1
    ] + [f"{who} got {webhook} for {count} events" for (who, webhook), count in owners.items() if count > 1]
