"""The labels of articles: categories and topics keep the spelling that an account used first, despite later case, width or accents.

Operators can merge two labels for all accounts, and an account for itself.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from redis.asyncio import Redis

from newswire.article import ArticleDraft
from newswire.keys import Keyspace
from newswire.observability.audit import Act, Actor, record
from newswire.storage.redis_functions import FunctionLibrary
from newswire.text.folding import fold, fold_label

Kind = Literal["category", "topic"]
Lookup = Literal["cache", "missing", "all"]
"""Where spellings are looked up: only in the cache of this process, since the publishing function reports a label that has another
spelling; also in Redis, where the cache lacks them; or all in Redis."""
KINDS: tuple[Kind, ...] = ("category", "topic")
MAX_KNOWN_LABELS = 50_000
MAX_LISTED_LABELS = 20_000
"""The labels of an account that are read for a list."""
MAX_SPELLINGS = 100
"""For one label: the number of spellings among which the most frequent one is searched for."""


@dataclass(frozen=True, slots=True)
class LabelCount:
    """A label, and the number of published articles with it."""

    value: str
    count: int


@dataclass(frozen=True, slots=True)
class CanonicalLabels:
    """A draft with labels in the spelling of its account, or as operators merged them."""

    draft: ArticleDraft
    rewritten_labels: frozenset[str] = frozenset()
    """The labels that were sent in another spelling, by kind and folded form."""


class Labels:
    """The labels of one installation. The cache of this process may be outdated: the publishing function checks the spellings."""

    def __init__(self, redis: "Redis", keys: Keyspace, functions: FunctionLibrary) -> None:
        self.names = keys.key("labels", "")
        """The prefix of the names of label records."""
        self._redis = redis
        self._keys = keys
        self._functions = functions
        self._known: dict[tuple[str, str], str] = {}

    async def canonicalize_labels(
        self, draft: ArticleDraft, account: str, lookup: Lookup = "missing"
    ) -> CanonicalLabels:
        """Return a draft with its labels in the spelling of this account."""
        labels: list[tuple[Kind, str]] = [("topic", topic) for topic in draft.topics]
        if draft.category is not None:
            labels.append(("category", draft.category))
        fields = [f"{kind}\t{fold_label(label)}" for kind, label in labels]
        if lookup != "cache":
            unknown = [field for field in fields if lookup == "all" or (account, field) not in self._known]
            await self._learn(account, unknown)
        written = [self._known.get((account, field), label) for field, (_, label) in zip(fields, labels, strict=True)]
        if written == [label for _, label in labels]:
            return CanonicalLabels(draft)
        rewritten_labels = frozenset(
            _field(kind, new) for (kind, label), new in zip(labels, written, strict=True) if new != label
        )
        topics = list(
            {fold(topic): topic for topic in written[: len(draft.topics)]}.values()
        )  # merging may make two topics equal
        category = written[-1] if draft.category is not None else None
        return CanonicalLabels(draft.model_copy(update={"category": category, "topics": topics}), rewritten_labels)

    async def counts(self, limit: int) -> dict[Kind, list[LabelCount]]:
        """Return the most frequent labels of each kind, most frequent first, in the spelling of most articles."""
        found: dict[Kind, list[LabelCount]] = {}
        for kind in KINDS:
            forms = await self._redis.zrange(f"{self.names}forms:{kind}", 0, limit - 1, desc=True, withscores=True)
            spellings = await self._commonest(kind, [form for form, _ in forms])
            labels = [LabelCount(spellings[form], int(score)) for form, score in forms if form in spellings]
            found[kind] = sorted(labels, key=_by_count)
        return found

    async def of_account(self, account: str) -> dict[Kind, list[LabelCount]]:
        """Return the labels that published articles of an account have, most frequent first; of very many, a part."""
        found: dict[Kind, list[LabelCount]] = {kind: [] for kind in KINDS}
        count = 0
        async for field, used in self._redis.hscan_iter(f"{self.names}of:{account}", count=1000):
            kind, (articles, _, spelling) = _kind_of(field), used.decode().partition("\t")
            found[kind].append(LabelCount(spelling, int(articles)))
            count += 1
            if count >= MAX_LISTED_LABELS:
                break
        return {kind: sorted(labels, key=_by_count) for kind, labels in found.items()}

    async def merged_by(self, account: str) -> dict[Kind, list[tuple[str, str]]]:
        """Return the labels that an account merged, in their folded form, each with the spelling that it is written as."""
        stored = await self._redis.hgetall(self._merged(account))
        found: dict[Kind, list[tuple[str, str]]] = {kind: [] for kind in KINDS}
        for field, spelling in sorted(stored.items()):
            form, written = field.decode().partition("\t")[2], spelling.decode()
            if form != fold(written):
                found[_kind_of(field)].append((form, written))
        return found

    async def merge(self, kind: Kind, old: str, new: str, *, by: Actor, account: str | None = None) -> str | None:
        """Replace a label by another one from now on, in one account or in all.

        Return the spelling of the new one, or None if no article has the old one. The audit log records it, if it changed anything.
        """
        merged = self._merged(account)
        before = await self._redis.hmget(merged, [_field(kind, old), _field(kind, new)])
        arguments = {"kind": kind, "old": fold(old), "new": fold(new), "spelling": new, "names": self.names}
        status, *spelling = await self._functions.call("merge_labels", [merged], arguments | {"account": account or ""})
        if status != b"OK":
            return None
        written = str(spelling[0].decode())
        if before != [spelling[0]] * 2:
            details = {"new": written} if account is None else {"new": written, "account": account}
            await record(self._redis, self._keys, by, Act.LABEL_MERGED, kind, old, **details)
        return written

    def _merged(self, account: str | None) -> str:
        return f"{self.names}merged" if account is None else f"{self.names}merged:{account}"

    async def _commonest(self, kind: Kind, forms: Sequence[bytes]) -> dict[bytes, str]:
        async with self._redis.pipeline(transaction=False) as pipe:
            for form in forms:
                pipe.zrangebylex(
                    f"{self.names}spelled:{kind}", b"[" + form + b"\t", b"(" + form + b"\n", 0, MAX_SPELLINGS
                )
            members = await pipe.execute()
        spellings = [[member.partition(b"\t")[2] for member in spelled] for spelled in members]
        async with self._redis.pipeline(transaction=False) as pipe:
            for several in spellings:
                pipe.zmscore(self.names + kind, several or [b""])
            scores = await pipe.execute()
        return {
            form: max(zip(several, counted, strict=True), key=lambda one: one[1] or 0)[0].decode()
            for form, several, counted in zip(forms, spellings, scores, strict=True)
            if several
        }

    async def _learn(self, account: str, fields: list[str]) -> None:
        if not fields:
            return
        if len(self._known) > MAX_KNOWN_LABELS:
            self._known.clear()
        async with self._redis.pipeline(transaction=False) as pipe:
            pipe.hmget(self._merged(None), fields)
            pipe.hmget(self._merged(account), fields)
            pipe.hmget(f"{self.names}of:{account}", fields)
            merged, own, used = await pipe.execute()
        if any(own):  # operators may have merged what the account merged into
            targets = [
                _field(_kind_of(field.encode()), (each or b"").decode())
                for field, each in zip(fields, own, strict=True)
            ]
            merged_targets = await self._redis.hmget(self._merged(None), targets)
            own = [each and (target or each) for each, target in zip(own, merged_targets, strict=True)]
        for field, spelling, own_spelling, use in zip(fields, merged, own, used, strict=True):
            if known := spelling or own_spelling or (use and use.partition(b"\t")[2]):
                self._known[account, field] = known.decode()
            else:
                self._known.pop((account, field), None)


def label_lines(document: dict[str, Any], rewritten_labels: frozenset[str]) -> str:
    """Return the labels of a version in the format of the publishing function."""
    category = document.get("category")
    labels: list[tuple[Kind, str]] = [("category", category)] if category else []
    labels += [("topic", topic) for topic in document.get("topics", [])]
    if not rewritten_labels:
        return "\n".join([f"{kind}\t{fold_label(label)}\t{label}\t0" for kind, label in labels])
    fields = [(_field(kind, label), label) for kind, label in labels]
    return "\n".join(f"{field}\t{label}\t{int(field in rewritten_labels)}" for field, label in fields)


def stored_label_lines(stored: str) -> str:
    """Return the labels stored with an article's state, in the format of the publishing function.

    A stored line has kind, folded form and spelling; older backups lack the folded form.
    """
    labels = [(line.partition("\t")[0], line.rpartition("\t")[2]) for line in stored.split("\n") if line]
    return "\n".join(f"{kind}\t{fold(spelling)}\t{spelling}\t0" for kind, spelling in labels)


def _kind_of(field: bytes) -> Kind:
    return "category" if field.startswith(b"category\t") else "topic"


def _field(kind: Kind, label: str) -> str:
    return f"{kind}\t{fold_label(label)}"


def _by_count(label: LabelCount) -> tuple[int, str]:
    return -label.count, fold(label.value)
