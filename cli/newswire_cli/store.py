"""How commands reach the store of a running Newswire: the one in the data folder, or the one of the environment."""

import asyncio
import os
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from newswire_cli.console import fail, settings_problem

if TYPE_CHECKING:
    from redis.asyncio import Redis

    from newswire.keys import Keyspace

T = TypeVar("T")

DataDir = Annotated[
    Path | None,
    typer.Option(help="The data folder of a `newswire run`; NEWSWIRE_REDIS_URL names another server.", file_okay=False),
]


@dataclass(frozen=True, slots=True)
class Store:
    """A running Newswire's store: the records, the deliveries (often on the same server) and their names."""

    redis: "Redis"
    deliveries: "Redis"
    keys: "Keyspace"

    @property
    def places(self) -> "dict[str, tuple[Redis, Keyspace]]":
        """Where records are kept, and by what names, as backups call it."""
        return {"records": (self.redis, self.keys), "deliveries": (self.deliveries, self.keys.deliveries)}


def with_store(data_dir: Path | None, work: Callable[[Store], Awaitable[T]]) -> T:
    """Do some work on the store, or end the command with one line that says why it cannot be done."""
    from pydantic import ValidationError
    from redis.exceptions import RedisError

    from newswire.keys import Keyspace
    from newswire.settings import Settings
    from newswire.storage.redis_client import open_redis

    try:
        keys = Keyspace(Settings().namespace)
    except ValidationError as error:
        fail(settings_problem(error))
    url, deliveries_url, name = _addresses(data_dir)

    async def main() -> T:
        async with (
            open_redis(url) as redis,
            open_redis(deliveries_url) as deliveries,
        ):
            return await work(Store(redis, deliveries, keys))

    try:
        return asyncio.run(main())
    except ValueError as error:
        fail(str(error))
    except (RedisError, OSError) as error:
        fail(f"cannot reach the store named by {name}: {error}")


def folder_of(data_dir: Path | None) -> Path:
    """Return the data folder that is meant."""
    return (data_dir or Path(os.environ.get("NEWSWIRE_DATA_DIR") or ".newswire")).expanduser()


def _addresses(data_dir: Path | None) -> tuple[str, str, str]:
    url = os.environ.get("NEWSWIRE_REDIS_URL")
    if data_dir is None and url:
        return url, os.environ.get("NEWSWIRE_DELIVERY_REDIS_URL") or url, "NEWSWIRE_REDIS_URL"
    folder = folder_of(data_dir)
    file = folder / "redis.url"
    try:
        embedded = file.read_text().strip()
    except OSError:
        fail(f"no `newswire run` is running on {folder}; start it, or name the server by NEWSWIRE_REDIS_URL")
    return embedded, embedded, str(file)
