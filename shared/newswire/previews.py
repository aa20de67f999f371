"""Previews: articles that are not published, shown as the site would show them to whoever has the link, for a limited time."""

import hashlib
import re
import secrets
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import orjson
from redis.asyncio import Redis

from newswire.keys import Keyspace

PATH = "/preview"
LIFETIME = timedelta(hours=1)
_TOKEN = re.compile(r"[A-Za-z0-9_-]{43}")


async def keep_preview(redis: "Redis", keys: Keyspace, article: Mapping[str, Any]) -> str:
    """Keep an article for its `LIFETIME`, and return the token of the link to it. Only the hash of the token is stored."""
    token = secrets.token_urlsafe(32)
    await redis.set(preview_key(keys, token), orjson.dumps(article), px=int(LIFETIME.total_seconds() * 1000))
    return token


async def read_preview(redis: "Redis", keys: Keyspace, token: str) -> dict[str, Any] | None:
    """Return the article of a link; None if the link is unknown or has expired."""
    stored = await redis.get(preview_key(keys, token)) if _TOKEN.fullmatch(token) else None
    return orjson.loads(stored) if stored else None


def preview_key(keys: Keyspace, token: str) -> str:
    """Return the name of the record of a link."""
    return keys.key("preview", hashlib.sha256(token.encode()).hexdigest())
