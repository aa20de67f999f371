"""Checks whether a Redis accepts writes, and keeps all data that it accepted."""

from collections.abc import Mapping
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import RedisError, ResponseError

from newswire.storage.redis_errors import error_code, reason, unavailability


async def durability_problem(redis: "Redis") -> str | None:
    """Return why a Redis refuses writes, or may lose or evict accepted data; None if it accepts and keeps everything."""
    try:
        info = await redis.info()
        if info.get("role") == "slave":
            return "redis is a replica and takes no writes: name the primary, or let Sentinel name it"
        if info.get("aof_enabled") and info.get("aof_last_write_status", "ok") != "ok":
            return "redis cannot write its append-only file and refuses writes: is its disk full?"
        if not info.get("aof_enabled") and info.get("rdb_last_bgsave_status", "ok") != "ok":
            return "redis cannot save its data, and may refuse writes: is its disk full, or its memory?"
        return _lossy(await _settings(redis, info))
    except (RedisError, OSError) as error:
        return reason(error)


async def _settings(redis: "Redis", info: Mapping[str, Any]) -> Mapping[str, str]:
    """Return what decides about losses. INFO shows most; a managed server, or the permissions of the user, may forbid CONFIG.

    A managed server that shows nothing about persistence has one of its own.
    """
    shown = {
        "appendonly": "yes" if info.get("aof_enabled") else "no",
        "save": "unknown" if info.get("rdb_last_save_time") or "aof_enabled" not in info else "",
        "maxmemory-policy": str(info.get("maxmemory_policy", "noeviction")),
    }
    if shown["appendonly"] == "yes":
        return shown
    try:
        found = await redis.config_get("appendonly", "save", "maxmemory-policy")
    except ResponseError as error:
        if error_code(error) != "NOPERM" and unavailability(error) is not None:
            raise
        return shown  # each provider has its own words for a command that it does not offer
    return {_text(key): _text(value) for key, value in found.items()}


def _lossy(settings: Mapping[str, str]) -> str | None:
    if settings.get("appendonly") != "yes" and not settings.get("save"):
        return "redis keeps nothing on disk: set appendonly yes"
    if settings.get("maxmemory-policy", "noeviction") != "noeviction":
        return "redis may evict records: set maxmemory-policy noeviction"
    return None


def _text(value: object) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
