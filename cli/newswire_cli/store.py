"""How commands reach the store of a running Newswire: the one in the data folder, or the one of the environment."""

import asyncio
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from newswire_cli.console import fail

if TYPE_CHECKING:
    from redis.asyncio import Redis

    from newswire.keyspace import Keyspace

T = TypeVar("T")

DataDir = Annotated[
    Path | None,
    typer.Option(help="The data folder of a `newswire run`; NEWSWIRE_REDIS_URL names another server.", file_okay=False),
]


def with_store(data_dir: Path | None, work: "Callable[[Redis, Keyspace], Awaitable[T]]") -> T:
    """Do some work on the store, or end the command with one line that says why it cannot be reached."""
    from pydantic import ValidationError
    from redis.exceptions import RedisError

    from newswire.keyspace import Keyspace
    from newswire.settings import Settings

    try:
        settings = Settings()
    except ValidationError as error:
        from newswire_cli.serve import settings_problem

        fail(settings_problem(error))
    url, name = _address(data_dir)

    async def main() -> T:
        from redis.asyncio import Redis

        async with Redis.from_url(url, socket_connect_timeout=5) as redis:
            return await work(redis, Keyspace(settings.namespace))

    try:
        return asyncio.run(main())
    except ValueError as error:
        fail(str(error))
    except (RedisError, OSError) as error:
        fail(f"cannot reach the store named by {name}: {error}")


def _address(data_dir: Path | None) -> tuple[str, str]:
    url = os.environ.get("NEWSWIRE_REDIS_URL")
    if data_dir is None and url:
        return url, "NEWSWIRE_REDIS_URL"
    folder = data_dir or Path(os.environ.get("NEWSWIRE_DATA_DIR") or ".newswire")
    file = folder.expanduser() / "redis.url"
    try:
        return file.read_text().strip(), str(file)
    except OSError:
        fail(f"no `newswire run` is running on {folder}; start it, or name the server by NEWSWIRE_REDIS_URL")
