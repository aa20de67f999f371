"""Checks whether a Redis keeps all data that it accepted."""

from redis.asyncio import Redis
from redis.exceptions import RedisError


async def durability_problem(redis: "Redis") -> str | None:
    """Return why a Redis may lose or evict accepted data, or None if it keeps everything."""
    try:
        await redis.ping()
        settings = await redis.config_get("appendonly", "save", "maxmemory-policy")
    except RedisError as error:
        return (
            await _durable_by_info(redis)
            if "unknown command" in str(error).lower() or "NOPERM" in str(error)
            else f"redis: {error}"
        )
    except OSError as error:
        return f"redis: {error}"
    text = {str(_text(key)): str(_text(value)) for key, value in settings.items()}
    if text.get("appendonly") != "yes" and not text.get("save"):
        return "redis keeps nothing on disk: set appendonly yes"
    if text.get("maxmemory-policy", "noeviction") != "noeviction":
        return "redis may evict records: set maxmemory-policy noeviction"
    return None


async def _durable_by_info(redis: "Redis") -> str | None:
    info = await redis.info()
    if not info.get("aof_enabled") and not info.get("rdb_last_save_time"):
        return "redis keeps nothing on disk: set appendonly yes"
    if info.get("maxmemory_policy", "noeviction") != "noeviction":
        return "redis may evict records: set maxmemory-policy noeviction"
    return None


def _text(value: object) -> object:
    return value.decode() if isinstance(value, bytes) else value
