"""How much mail a receiving domain gets: rates, connections, a slower pace after refusals, and the warm-up of a new sender.

Decisions only; `mail_claims.lua` applies them, so that they hold for all processes and across restarts.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta

from newswire_notify.newsletters.outcome import Outcome, Reply

EVERY_DOMAIN = "*"
DEFAULT_RATE = "*=3000/min"
MAX_COUNT = 100_000
_SECONDS = {"s": 1, "min": 60, "h": 3600}
_RATE = re.compile(r"(\*|[a-z0-9-]+(?:\.[a-z0-9-]+)+)=(\d{1,6})/(s|min|h)", re.IGNORECASE)
_WARM_UP = re.compile(r"(\d{4}-\d{2}-\d{2}):([1-9]\d{0,6})")
WARM_UP_DAYS = 14
"""After as many days of doubling there is no limit any more."""
MAX_LEVEL = 8
MAX_THROTTLED_LEVEL = 3
"""Of a domain that puts mail off (4.7.x): greylisting is lifted by time alone."""
FIRST_PAUSE_SECONDS, MAX_PAUSE_SECONDS = 1.0, 4 * 3600.0


@dataclass(frozen=True, slots=True)
class DomainRate:
    """At most ``count`` mails in any ``window`` seconds; a count of 0 is no limit."""

    count: int
    window: int


@dataclass(frozen=True, slots=True)
class WarmUp:
    """The plan of a new sender: a number of mails on the first day (UTC), twice as many on each day after it."""

    start: date
    first_day: int

    def limit(self, today: date) -> int | None:
        """Return how many mails may be sent on a day; None: any number."""
        days = max(0, (today - self.start).days)
        return None if days >= WARM_UP_DAYS else self.first_day * 2**days


@dataclass(frozen=True, slots=True)
class SendingLimits:
    """The limits of an installation."""

    rates: Mapping[str, DomainRate] = field(default_factory=dict)
    """By domain; `EVERY_DOMAIN` is for all others."""
    connections_per_domain: int = 8
    warm_up: WarmUp | None = None

    def arguments(self, now: datetime) -> dict[str, object]:
        """Return the limits at a time, as the Redis function takes them; times are ms."""
        rates = {name: {"count": rate.count, "window": rate.window * 1000} for name, rate in self.rates.items()}
        default = rates.pop(EVERY_DOMAIN, {"count": 0, "window": 1000})
        today = now.astimezone(UTC).date()
        day_limit = self.warm_up.limit(today) if self.warm_up else None
        midnight = datetime.combine(today + timedelta(days=1), time(), UTC)
        return {
            "rates": rates,
            "default_rate": default,
            "per_domain": self.connections_per_domain,
            "day": today.isoformat() if day_limit is not None else "",
            "day_limit": day_limit or 0,
            "midnight": int(midnight.timestamp() * 1000),
        }


def read_rates(text: str) -> dict[str, DomainRate]:
    """Read rates such as ``*=3000/min, gmail.com=20/s``.

    Raises:
        ValueError: it is not a list of rates; the message says what is.
    """
    found = {}
    for item in (each.strip() for each in f"{DEFAULT_RATE},{text}".split(",")):
        if not item:
            continue
        match = _RATE.fullmatch(item)
        if match is None or int(match[2]) > MAX_COUNT:
            raise ValueError(
                f"'{item}' is not a rate: write domain=COUNT/s, /min or /h, such as gmail.com=20/s, *=3000/min for all others"
                f" and *=0/s for no limit; COUNT is at most {MAX_COUNT}"
            )
        found[match[1].lower()] = DomainRate(int(match[2]), _SECONDS[match[3].lower()])
    return found


def read_warm_up(text: str) -> WarmUp | None:
    """Read a plan such as ``2026-12-01:500``: the first day, and its number of mails.

    Raises:
        ValueError: it is not a plan.
    """
    if not text:
        return None
    match = _WARM_UP.fullmatch(text.strip())
    if match is None:
        raise ValueError("it is not DATE:COUNT, the first day and its number of mails, such as 2026-12-01:500")
    return WarmUp(date.fromisoformat(match[1]), int(match[2]))


@dataclass(frozen=True, slots=True)
class DomainChange:
    """A domain is slowed down further, or as fast as before again. It is applied only at ``level``."""

    domain: str
    level: int
    new_level: int
    pause: timedelta


def domain_change(domain: str, level: int, outcome: Outcome, reply: Reply) -> DomainChange | None:
    """Return what follows for a domain from a reply to a mail to it; ``level``: how often in a row it had refused the sender.

    Above level 0 it gets one mail at a time, and after each refusal a pause four times as long as the one before. The first
    accepted mail ends that, so a reader whose own filter refuses the sender delays the others by a second.
    """
    if outcome is Outcome.ACCEPTED:
        return DomainChange(domain, level, 0, timedelta(0)) if level else None
    throttled = outcome is Outcome.LATER and reply.enhanced is not None and reply.enhanced[0] == 7
    if not throttled and outcome is not Outcome.SENDER_FAULT:
        return None
    new_level = max(level, min(level + 1, MAX_THROTTLED_LEVEL if throttled else MAX_LEVEL))
    seconds = min(FIRST_PAUSE_SECONDS * 4.0 ** (new_level - 1), MAX_PAUSE_SECONDS)
    return DomainChange(domain, level, new_level, timedelta(seconds=seconds))
