"""Times as Newswire stores and writes them: milliseconds since the epoch in Redis, RFC 3339 in documents."""

from datetime import UTC, datetime, timedelta

from redis.asyncio import Redis

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)


def epoch_ms(moment: datetime) -> int:
    """Return a time in whole milliseconds since the epoch, rounded down."""
    return int(moment.timestamp() * 1000)


def epoch_ms_nearest(moment: datetime) -> int:
    """Return a time in milliseconds since the epoch, rounded to the nearest one."""
    return round(moment.timestamp() * 1000)


def epoch_ms_ceil(moment: datetime) -> int:
    """Return a time in milliseconds since the epoch, rounded up, so that scheduled work does not become due too early."""
    return -((moment - _EPOCH) // -_MILLISECOND)


def from_epoch_ms(milliseconds: float) -> datetime:
    """Return the UTC time for milliseconds since the epoch."""
    return _EPOCH + timedelta(milliseconds=milliseconds)


def utc_now() -> datetime:
    """Return the current time, truncated to the millisecond precision of events and records."""
    now = datetime.now(UTC)
    return now.replace(microsecond=now.microsecond // 1000 * 1000)


def rfc3339(moment: datetime) -> str:
    """Return a UTC time in RFC 3339 format: without a fraction, with milliseconds, or with microseconds, as needed."""
    precision = "milliseconds" if moment.microsecond and moment.microsecond % 1000 == 0 else "auto"
    return moment.isoformat(timespec=precision).replace("+00:00", "Z")


def rfc3339_ms(moment: datetime) -> str:
    """Return a UTC time in RFC 3339 format with exactly three digits of the second's fraction."""
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


async def redis_time_ms(redis: "Redis") -> int:
    """Return the time of a Redis server in milliseconds since the epoch."""
    seconds, microseconds = await redis.time()
    return int(seconds) * 1000 + int(microseconds) // 1000
