"""The families of Redis keys: what their names look like, which type they have, who writes them, and how long they last.

Each service declares its own in ``keys.py``. Tests compare them with what a run leaves behind, and with docs/redis-keys.md.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

RedisType = Literal["string", "hash", "set", "zset", "list", "stream"]
Store = Literal["records", "deliveries"]
_PLACEHOLDER = re.compile(r"<([a-z_]+)>")
_VALUES = {"account": ".+", "audience": ".+", "host": ".+", "sender": ".+", "subscription": "sub_[^:]+"}
"""What a placeholder stands for, if not for anything without a colon. An account may be called almost anything, an audience names a
time of day, and a host or a sender may be an IPv6 address."""


@dataclass(frozen=True)
class KeyFamily:
    """Keys that share a form and a purpose."""

    pattern: str
    """The name after the namespace, with ``<placeholders>``."""
    type: RedisType
    holds: str
    lifetime: str
    store: Store = "records"

    @cached_property
    def _expression(self) -> re.Pattern[str]:
        parts = _PLACEHOLDER.split(self.pattern)
        return re.compile(
            "".join(_VALUES.get(part, "[^:]+") if at % 2 else re.escape(part) for at, part in enumerate(parts)),
            re.DOTALL,
        )

    def matches(self, name: str) -> bool:
        """Return whether a name (after the namespace) is of this family."""
        return self._expression.fullmatch(name) is not None


def families_of(name: str, store: Store, families: Iterable[KeyFamily]) -> list[KeyFamily]:
    """Return the families that a key belongs to, by its name after the namespace: exactly one, if all are declared well."""
    return [family for family in families if family.store == store and family.matches(name)]


def table(families: Sequence[KeyFamily]) -> str:
    """Return the families as the rows of a Markdown table."""
    rows = ["| key | type | holds | lifetime |", "|---|---|---|---|"]
    rows += [f"| `{family.pattern}` | {family.type} | {family.holds} | {family.lifetime} |" for family in families]
    return "\n".join(rows)
