"""`newswire doctor`: check this machine and the settings, before Newswire is started or when something is wrong."""

import os
import platform
import shutil
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from newswire_cli.client.http import DEFAULT_DATA_DIR, DataDir
from newswire_cli.client.redis import names_redis
from newswire_cli.terminal.console import settings_problem
from newswire_cli.terminal.json_output import Json, print_json
from newswire_cli.terminal.tables import print_table

if TYPE_CHECKING:
    from newswire.settings import Settings
    from newswire_search.settings import SearchSettings

MIN_FREE_BYTES = 1_000_000_000
MAX_CLOCK_SKEW_SECONDS = 2.0
"""Between this machine and Redis: embargoes and signatures depend on the clock."""
SERVER_TIMEOUT_SECONDS = 5.0


@dataclass(frozen=True)
class Finding:
    """The result of one check."""

    check: str
    ok: bool
    detail: str


def doctor(data_dir: DataDir = DEFAULT_DATA_DIR, json: Json = False) -> None:
    """Check this machine and the settings: Python, names and values of settings, disk, clock, Redis, Elasticsearch.

    Exit code 1 if something has to be changed.
    """
    import asyncio

    findings = [*_check_machine(data_dir), *asyncio.run(_check_servers())]
    ok = all(finding.ok for finding in findings)
    if json:
        print_json({"ok": ok, "checks": [asdict(finding) for finding in findings]})
    else:
        rows = [["ok" if each.ok else "PROBLEM", each.check, each.detail] for each in findings]
        print_table(["", "check", "found"], rows)
    if not ok:
        raise typer.Exit(1)


def _check_machine(data_dir: Path) -> Iterator[Finding]:
    from newswire_cli.local.known_settings import unknown_settings

    version = platform.python_version()
    yield Finding("python", sys.version_info >= (3, 11), f"{version}; 3.11 or newer is required")
    unknown = unknown_settings(os.environ)
    yield Finding("names of settings", not unknown, "; ".join(unknown) or "all are known")
    yield _check_settings()
    yield _check_data_folder(data_dir.expanduser())


def _check_settings() -> Finding:
    from pydantic import ValidationError

    from newswire_ingest.settings import IngestSettings
    from newswire_notify.settings import NotifySettings
    from newswire_operations.settings import OperationsSettings
    from newswire_search.settings import SearchSettings

    try:
        for settings in (IngestSettings, SearchSettings, NotifySettings, OperationsSettings):
            settings()
    except ValidationError as error:
        return Finding("values of settings", False, settings_problem(error))
    except ValueError as error:  # a file of `NEWSWIRE_…_FILE` that cannot be read
        return Finding("values of settings", False, str(error))
    return Finding("values of settings", True, "all are valid")


def _check_data_folder(data_dir: Path) -> Finding:
    existing = next(folder for folder in (data_dir, *data_dir.absolute().parents) if folder.exists())
    if not os.access(existing, os.W_OK | os.X_OK):
        return Finding("data folder", False, f"{existing} is not writable; give another one by --data-dir")
    free = shutil.disk_usage(existing).free
    return Finding("data folder", free >= MIN_FREE_BYTES, f"{data_dir}: {free / 1e9:.1f} GB free, 1 GB is required")


async def _check_servers() -> list[Finding]:
    from newswire.settings import Settings
    from newswire_search.settings import SearchSettings

    findings = []
    try:
        settings, search = Settings(), SearchSettings()
    except ValueError:
        return []  # the check of the settings reports it
    if names_redis():
        findings += await _check_redis(settings)
    if any(name.startswith("NEWSWIRE_MEDIA_") for name in os.environ):
        findings.append(await _check_images())
    if settings.archive_url is not None:
        findings.append(await _check_archive(settings))
    if search.index == "elasticsearch":
        findings.append(await _check_elasticsearch(search))
    return findings


async def _check_images() -> Finding:
    import asyncio

    from newswire_ingest.media.composition import media_storage
    from newswire_ingest.settings import IngestSettings

    try:
        async with asyncio.timeout(SERVER_TIMEOUT_SECONDS):
            problem = await media_storage(IngestSettings()).check()
    except TimeoutError:
        problem = "the bucket does not answer"
    return Finding("images", problem is None, problem or "the folder or bucket can be used")


async def _check_archive(settings: "Settings") -> Finding:
    import asyncio

    from newswire.storage.document_archive import open_archive

    storage = open_archive(settings).storage
    try:
        async with asyncio.timeout(SERVER_TIMEOUT_SECONDS):
            problem = None if storage is None else await storage.check()
    except TimeoutError:
        problem = "the bucket does not answer"
    return Finding("archive", problem is None, problem or "the folder or bucket can be used")


async def _check_redis(settings: "Settings") -> list[Finding]:
    import asyncio

    from redis.exceptions import RedisError

    from newswire.keys import Keyspace
    from newswire.storage.durability import durability_problem
    from newswire.storage.redis_client import open_redis
    from newswire.storage.replication import ReplicationBarrier

    async with open_redis(settings.redis_url.get_secret_value(), settings.namespace) as redis:
        barrier = ReplicationBarrier(redis, Keyspace(settings.namespace), settings.redis_min_replicas)
        try:
            async with asyncio.timeout(SERVER_TIMEOUT_SECONDS):
                seconds, microseconds = await redis.time()
                skew = abs(time.time() - seconds - microseconds / 1e6)
                problem = await durability_problem(redis) or await barrier.check()
        except (RedisError, OSError, TimeoutError) as error:
            return [Finding("redis", False, f"cannot be reached: {error or type(error).__name__}")]
    return [
        Finding("redis", problem is None, problem or "reached; accepted writes are kept on disk"),
        Finding("clock", skew <= MAX_CLOCK_SKEW_SECONDS, f"{skew:.1f} s apart from the clock of Redis"),
    ]


async def _check_elasticsearch(settings: "SearchSettings") -> Finding:
    import asyncio

    from elasticsearch import ApiError, TransportError

    from newswire_search.app import open_index
    from newswire_search.index.elasticsearch.index import ElasticsearchIndex
    from newswire_search.index.elasticsearch.target import mapping_mismatch

    index = await open_index(settings)
    assert isinstance(index, ElasticsearchIndex)  # noqa: S101 (what open_index returns for this setting)
    try:
        async with asyncio.timeout(SERVER_TIMEOUT_SECONDS):
            problem = mapping_mismatch(await index.target.names())
    except (ApiError, TransportError, TimeoutError) as error:
        problem = f"cannot be reached: {error or type(error).__name__}"
    finally:
        await index.close()
    return Finding("elasticsearch", problem is None, problem or "reached")
