"""Drafts as they are stored: the fields of a hash."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson

from newswire.observability.audit import ActorType
from newswire_ingest.drafts.models import DoneAct, DraftAct, DraftAuthor, Revision, RevisionKind

FIELDS = (
    "id",
    "account",
    "title",
    "created_at",
    "created_by",
    "updated_at",
    "updated_by",
    "stamp",
    "sequence",
    "revision",
    "article",
    "based_on",
    "reserved",
    "pending",
    "done",
    "discarded_at",
    "history",
)
LISTED_FIELDS = tuple(name for name in FIELDS if name != "history")


@dataclass(frozen=True, slots=True)
class StoredDraft:
    """A draft as stored.

    ``stamp`` grows with every write, ``sequence`` with every revision. ``reserved`` is the id that its article gets when it is
    first published, so that a repeat cannot make a second one; ``pending`` is an act that began, and ``done`` the last one that
    ended.
    """

    id: str
    account: str
    title: str
    created_at: datetime
    created_by: DraftAuthor
    updated_at: datetime
    updated_by: DraftAuthor
    stamp: int = 0
    sequence: int = 0
    revision: int = 0
    article: str | None = None
    based_on: str | None = None
    reserved: str | None = None
    pending: DoneAct | None = None
    done: DoneAct | None = None
    discarded_at: datetime | None = None
    history: tuple[Revision, ...] = ()

    @property
    def size(self) -> int:
        """The bytes of all its texts."""
        return sum(revision.size for revision in self.history)


def encoded(draft: StoredDraft) -> dict[str, str]:
    """Return the fields of a draft; one without a value is missing."""
    found: dict[str, Any] = {name: getattr(draft, name) for name in FIELDS}
    return {name: _encoded_value(value) for name, value in found.items() if value is not None}


def decoded(fields: Mapping[str, bytes]) -> StoredDraft:
    """Read the fields of a draft; the history may be missing."""
    text = {name: value.decode() for name, value in fields.items()}
    return StoredDraft(
        id=text["id"],
        account=text["account"],
        title=text["title"],
        created_at=datetime.fromisoformat(text["created_at"]),
        created_by=_author(orjson.loads(text["created_by"])),
        updated_at=datetime.fromisoformat(text["updated_at"]),
        updated_by=_author(orjson.loads(text["updated_by"])),
        stamp=int(text["stamp"]),
        sequence=int(text["sequence"]),
        revision=int(text["revision"]),
        article=text.get("article"),
        based_on=text.get("based_on"),
        reserved=text.get("reserved"),
        pending=_act(text.get("pending")),
        done=_act(text.get("done")),
        discarded_at=datetime.fromisoformat(text["discarded_at"]) if "discarded_at" in text else None,
        history=tuple(map(_revision, orjson.loads(text.get("history", "[]")))),
    )


def _encoded_value(value: Any) -> str:
    match value:
        case str():
            return value
        case datetime():
            return value.isoformat()
        case int():
            return str(value)
        case _:
            return orjson.dumps(value).decode()


def _author(found: Mapping[str, str]) -> DraftAuthor:
    return DraftAuthor(ActorType(found["type"]), found["id"], found["name"])


def _act(stored: str | None) -> DoneAct | None:
    if stored is None:
        return None
    found = orjson.loads(stored)
    due = found.pop("due")
    return DoneAct(
        act=DraftAct(found.pop("act")),
        at=datetime.fromisoformat(found.pop("at")),
        by=_author(found.pop("by")),
        due=datetime.fromisoformat(due) if due else None,
        **found,
    )


def _revision(found: dict[str, Any]) -> Revision:
    return Revision(
        number=found["number"],
        saved_at=datetime.fromisoformat(found["saved_at"]),
        began=datetime.fromisoformat(found["began"]),
        by=_author(found["by"]),
        kind=RevisionKind(found["kind"]),
        title=found["title"],
        digest=found["digest"],
        size=found["size"],
    )
