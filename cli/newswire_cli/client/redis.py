"""Connections of commands to the Redis of a running Newswire: the embedded one of a data folder, or the one in the environment."""

import asyncio
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from newswire_cli.terminal.console import fail, note, settings_problem
from newswire_operations.stores import Stores

if TYPE_CHECKING:
    from newswire.settings import Settings

T = TypeVar("T")

DataDir = Annotated[
    Path | None,
    typer.Option(help="The data folder of a `newswire run`; NEWSWIRE_REDIS_URL names another server.", file_okay=False),
]


def with_stores(data_dir: Path | None, work: Callable[[Stores], Awaitable[T]], *, writes: bool = False) -> T:
    """Call a function with open connections and return its result, or end the command with one line about the error.

    ``writes``: whether replicas have to confirm what it did (`NEWSWIRE_REDIS_MIN_REPLICAS`); a line says if they do not.
    """
    from pydantic import SecretStr, ValidationError
    from redis.exceptions import RedisError

    from newswire.keys import Keyspace
    from newswire.settings import Settings, SettingsError
    from newswire.storage.document_archive import DocumentUnavailableError
    from newswire.storage.redis_client import open_redis
    from newswire.storage.replication import ReplicationBarrier

    try:
        # Read first: a mistake in a setting is reported before a server that is not found.
        url, deliveries_url, source = _addresses(data_dir, Settings())
        settings = Settings(redis_url=SecretStr(url))
    except (ValidationError, SettingsError) as error:
        fail(settings_problem(error))
    keys = Keyspace(settings.namespace)

    async def main() -> T:
        async with (
            open_redis(url, keys.namespace) as redis,
            open_redis(deliveries_url, keys.namespace) as deliveries,
        ):
            barrier = ReplicationBarrier(redis, keys, settings.redis_min_replicas if writes else 0)
            history = await barrier.history()
            result = await work(Stores(redis, deliveries, keys))
            try:
                await barrier.confirm(history)
            except (RedisError, OSError) as error:
                note(f"done, but a failover of Redis may lose it: {error}; look at it again when replicas are there")
            return result

    try:
        return asyncio.run(main())
    except ValueError as error:
        fail(str(error))
    except DocumentUnavailableError as error:
        fail(f"an article cannot be read: {error}")
    except (RedisError, OSError) as error:
        fail(f"cannot reach the Redis server named by {source}: {error}")


def data_folder(data_dir: Path | None) -> Path:
    """Return the data folder of the option, of NEWSWIRE_DATA_DIR, or the default."""
    return (data_dir or Path(os.environ.get("NEWSWIRE_DATA_DIR") or ".newswire")).expanduser()


def names_redis() -> bool:
    """Return whether the environment names a server, by its address or by the file that holds it."""
    return any(os.environ.get(name) for name in ("NEWSWIRE_REDIS_URL", "NEWSWIRE_REDIS_URL_FILE"))


def _addresses(data_dir: Path | None, settings: "Settings") -> tuple[str, str, str]:
    """Return the addresses of the record store and the delivery store, and where they are configured."""
    if data_dir is None and names_redis():
        url = settings.redis_url.get_secret_value()
        deliveries = settings.delivery_redis_url
        return url, deliveries.get_secret_value() if deliveries else url, "NEWSWIRE_REDIS_URL"
    folder = data_folder(data_dir)
    file = folder / "redis.url"
    try:
        embedded = file.read_text().strip()
    except OSError:
        fail(f"no `newswire run` is running on {folder}; start it, or name the server by NEWSWIRE_REDIS_URL")
    return embedded, embedded, str(file)
