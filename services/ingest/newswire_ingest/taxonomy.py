"""Categories and topics keep the spelling in which they came first, whatever the case, width or accents they come in later."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

from redis.asyncio import Redis

from newswire.article import ArticleDraft
from newswire.folding import fold
from newswire.functions import FunctionLibrary
from newswire.keyspace import Keyspace

Kind = Literal["category", "topic"]
KINDS: tuple[Kind, ...] = ("category", "topic")
MOST_KNOWN = 50_000


@dataclass(frozen=True, slots=True)
class Count:
    """A label, and how many published articles carry it."""

    value: str
    count: int


class Taxonomy:
    """The labels of one installation. What this process knows of them may be old: the publishing function checks it."""

    def __init__(self, redis: "Redis", keys: Keyspace, functions: FunctionLibrary) -> None:
        self.names = keys.key("labels", "")
        """What the names of the records of labels begin with."""
        self._redis = redis
        self._functions = functions
        self._known: dict[str, str] = {}

    async def spelt(self, draft: ArticleDraft, *, anew: bool = False) -> ArticleDraft:
        """Return a draft with its labels as they are written here; ``anew`` where what this process knows turned out to be old."""
        fields = [_field("topic", topic) for topic in draft.topics]
        if draft.category is not None:
            fields.append(_field("category", draft.category))
        await self._learn(fields if anew else [field for field in fields if field not in self._known])
        topics = [self._known.get(field, topic) for field, topic in zip(fields, draft.topics, strict=False)]
        category = draft.category and self._known.get(fields[-1], draft.category)
        if topics == draft.topics and category == draft.category:
            return draft
        once = list({fold(topic): topic for topic in topics}.values())  # two may be written as one since a merger
        return draft.model_copy(update={"category": category, "topics": once})

    async def counts(self, limit: int) -> dict[Kind, list[Count]]:
        """Return the most frequent labels of each kind, the most frequent first."""
        async with self._redis.pipeline(transaction=False) as pipe:
            for kind in KINDS:
                pipe.zrange(self.names + kind, 0, limit - 1, desc=True, withscores=True)
            found = await pipe.execute()
        return {
            kind: sorted((Count(value.decode(), int(score)) for value, score in labels), key=_by_count)
            for kind, labels in zip(KINDS, found, strict=True)
        }

    async def merge(self, kind: Kind, old: str, new: str) -> str | None:
        """Write a label as another one from now on; return how that is spelt, or None where nobody used the old one."""
        arguments = [kind, fold(old), fold(new), new]
        status, *spelling = await self._functions.call("merge_labels", [self.names + "spellings"], [*arguments])
        return spelling[0].decode() if status == b"OK" else None

    async def _learn(self, fields: list[str]) -> None:
        if not fields:
            return
        if len(self._known) > MOST_KNOWN:
            self._known.clear()
        found = await self._redis.hmget(self.names + "spellings", fields)
        self._known |= {field: spelling.decode() for field, spelling in zip(fields, found, strict=True) if spelling}


def label_lines(document: dict[str, Any]) -> str:
    """Return the labels of a version as the publishing function takes them."""
    category = document.get("category")
    return "\n".join(_lines("category", [category] if category else []) + _lines("topic", document.get("topics", [])))


def _lines(kind: Kind, labels: Iterable[str]) -> list[str]:
    return [f"{_field(kind, label)}\t{label}" for label in labels]


def _field(kind: Kind, label: str) -> str:
    return f"{kind}\t{fold(label)}"


def _by_count(label: Count) -> tuple[int, str]:
    return -label.count, fold(label.value)
