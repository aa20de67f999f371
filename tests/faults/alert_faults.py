"""The faults of `alert_drill`: what breaks, and which alerts must and may fire."""

from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from functools import partial

from tests.faults.alert_breaks import (
    POISON,
    archive_unmounted,
    archived_text_lost,
    bad_requests,
    configured,
    disk_full,
    elasticsearch_away,
    elasticsearch_full,
    endpoints,
    endpoints_gone,
    flood,
    mail_server_down,
    memory,
    nothing,
    notify_killed,
    operations_killed,
    paused,
    redis_killed,
    rewrite_forbidden,
    unreadable_entries,
)
from tests.faults.alert_scene import SLOW_SECONDS, Scene

Break = Callable[[Scene], AbstractAsyncContextManager[None]]


@dataclass(frozen=True)
class Fault:
    """What is broken while the context lasts."""

    name: str
    broken: Break
    fires: frozenset[str] = frozenset()
    """The alerts that must fire while it lasts."""
    follows: frozenset[str] = frozenset()
    """Those that must fire during the repair: articles that waited are late, for example."""
    may_fire: frozenset[str] = frozenset()
    """Those that depend on the moment, and on the speed of the machine."""
    at_least: float = 15.0
    """Seconds that it lasts, even if all alerts fire before."""
    at_most: float = 180.0


def _alerts(*names: str) -> frozenset[str]:
    return frozenset(f"Newswire{name}" for name in names)


WAITING = ("IndexingSlow", "DeliveriesWaiting")
"""What may follow when much is left to be done after an outage."""
NO_REDIS = _alerts("RedisFailing", "Errors", "CheckFailing")
FAULTS: Sequence[Fault] = (
    Fault("nothing", nothing, at_least=30),
    Fault("publishers send bad requests and unknown keys", bad_requests),
    Fault(
        "Elasticsearch closes connections",
        elasticsearch_away,
        _alerts("ElasticsearchFailing", "ConsumerStuck", "Errors", "CheckFailing"),
        follows=_alerts("IndexingSlow"),
        may_fire=_alerts("ConsumerBehind"),
        at_least=45,
    ),
    Fault(
        "the disk of Elasticsearch is full",
        elasticsearch_full,
        _alerts("ConsumerStuck", "CheckFailing"),
        follows=_alerts("IndexingSlow"),
        may_fire=_alerts("ConsumerBehind"),
        at_least=45,
    ),
    Fault("Redis is killed", redis_killed, NO_REDIS, may_fire=_alerts(*WAITING, "MailServerDown")),
    Fault("Redis hangs", lambda on: paused(on.built.valkey), NO_REDIS, may_fire=_alerts(*WAITING)),
    Fault(
        "the disk of Redis is full",
        disk_full,
        _alerts("Errors", "CheckFailing"),
        may_fire=_alerts(*WAITING, "ConsumerStuck", "ArchiveErasuresWaiting"),
    ),
    Fault("Redis is nearly full", partial(memory, fill=0.95), _alerts("MemoryNearlyFull")),
    Fault("Redis is full", partial(memory, fill=1.05), _alerts("MemoryNearlyFull", "Errors", "CheckFailing")),
    Fault(
        "Redis may evict records",
        partial(configured, name="maxmemory-policy", value="allkeys-lru"),
        _alerts("CheckFailing"),
    ),
    Fault(
        "the replica of Redis hangs",
        lambda on: paused(on.replica),
        _alerts("Errors", "CheckFailing"),
        may_fire=_alerts(*WAITING, "ConsumerStuck"),
    ),
    Fault("rewriting the append-only file is forbidden", rewrite_forbidden, _alerts("ErasureOverdue"), at_most=240),
    Fault("a process is killed", notify_killed, _alerts("ReplicaDown"), may_fire=_alerts("DeliveriesWaiting")),
    Fault("operations is killed", operations_killed, _alerts("MetricsMissing")),
    Fault("an entry without an event", partial(unreadable_entries, count=1), _alerts("DeadLetters")),
    Fault(
        "a consumer stops, because it would reject too much",
        partial(unreadable_entries, count=POISON),
        _alerts("ConsumerStuck", "CheckFailing"),
        may_fire=_alerts(*WAITING, "ConsumerBehind", "DeadLetters", "ReplicaDown"),
    ),
    Fault(f"endpoints take {SLOW_SECONDS:.0f} s", partial(endpoints, mood="slow"), _alerts("DeliveriesWaiting")),
    Fault("endpoints answer 500", partial(endpoints, mood="failing"), at_least=30),
    Fault("endpoints are gone", endpoints_gone, _alerts("DeliveriesDying"), may_fire=_alerts("DeliveriesWaiting")),
    Fault("the mail server is down", mail_server_down, _alerts("MailServerDown", "CheckFailing")),
    Fault(
        "the archive is not mounted",
        archive_unmounted,
        _alerts("ArchiveUnavailable", "ArchiveErasuresWaiting", "CheckFailing", "Errors"),
    ),
    Fault("an archived text is lost", archived_text_lost, _alerts("ArchivedTextsLost", "Errors")),
    Fault(
        "more events than can be handled",
        flood,
        _alerts("ConsumerBehind"),
        may_fire=_alerts(*WAITING, "CheckFailing"),
    ),
    Fault("nothing any more", nothing),
)
