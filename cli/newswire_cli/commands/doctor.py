"""`newswire doctor`: whether this machine and these settings will do, before Newswire is started, or when something is wrong."""

import asyncio
import os
import platform
import shutil
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import ValidationError
from redis.exceptions import RedisError

from newswire_cli.commands.http_request import say_json
from newswire_cli.commands.known_settings import unknown_settings
from newswire_cli.console import settings_problem
from newswire_cli.tables import show

if TYPE_CHECKING:
    from newswire_search.settings import SearchSettings

MIN_FREE_BYTES = 1_000_000_000
MAX_CLOCK_SKEW_SECONDS = 2.0
"""Between this machine and Redis: embargoes and signatures depend on the clock."""
SECONDS = 5.0
"""For which a server is waited for."""


@dataclass(frozen=True)
class Finding:
    """What one check found."""

    check: str
    ok: bool
    detail: str


def examine(data_dir: Path) -> list[Finding]:
    """Examine interpreter, settings, data folder, Redis and Elasticsearch, each as far as the settings name it."""
    return [*_local(data_dir), *asyncio.run(_servers())]


def show_findings(findings: list[Finding], *, as_json: bool) -> bool:
    """Print the findings, and return whether all is well."""
    well = all(finding.ok for finding in findings)
    if as_json:
        say_json({"ok": well, "checks": [asdict(finding) for finding in findings]})
    else:
        show(["", "check", "found"], [["ok" if each.ok else "PROBLEM", each.check, each.detail] for each in findings])
    return well


def _local(data_dir: Path) -> Iterator[Finding]:
    version = platform.python_version()
    yield Finding("python", sys.version_info >= (3, 11), f"{version}; 3.11 or newer is needed")
    unknown = unknown_settings(os.environ)
    yield Finding("names of settings", not unknown, "; ".join(unknown) or "all are known")
    yield _settings()
    yield _folder(data_dir.expanduser())


def _settings() -> Finding:
    from newswire_ingest.settings import IngestSettings
    from newswire_notify.settings import NotifySettings
    from newswire_search.settings import SearchSettings

    try:
        for settings in (IngestSettings, SearchSettings, NotifySettings):
            settings()
    except ValidationError as error:
        return Finding("values of settings", False, settings_problem(error))
    except ValueError as error:  # a file of `NEWSWIRE_…_FILE` that cannot be read
        return Finding("values of settings", False, str(error))
    return Finding("values of settings", True, "all are valid")


def _folder(data_dir: Path) -> Finding:
    there = next(folder for folder in (data_dir, *data_dir.absolute().parents) if folder.exists())
    if not os.access(there, os.W_OK | os.X_OK):
        return Finding("data folder", False, f"{there} cannot be written to; give another one by --data-dir")
    free = shutil.disk_usage(there).free
    return Finding("data folder", free >= MIN_FREE_BYTES, f"{data_dir}: {free / 1e9:.1f} GB free, 1 GB is needed")


async def _servers() -> list[Finding]:
    from newswire.settings import Settings
    from newswire_search.settings import SearchSettings

    findings = []
    try:
        settings, search = Settings(), SearchSettings()
    except ValueError:
        return []  # said by the check of the settings
    if "NEWSWIRE_REDIS_URL" in os.environ or "NEWSWIRE_REDIS_URL_FILE" in os.environ:
        findings += await _redis(settings.redis_url.get_secret_value())
    if search.index == "elasticsearch":
        findings.append(await _elasticsearch(search))
    return findings


async def _redis(url: str) -> list[Finding]:
    from newswire.storage.durability import durable
    from newswire.storage.redis_client import open_redis

    async with open_redis(url) as redis:
        try:
            async with asyncio.timeout(SECONDS):
                seconds, microseconds = await redis.time()
                skew = abs(time.time() - seconds - microseconds / 1e6)
                trouble = await durable(redis)
        except (RedisError, OSError, TimeoutError) as error:
            return [Finding("redis", False, f"cannot be reached: {error or type(error).__name__}")]
    return [
        Finding("redis", trouble is None, trouble or "reached; it keeps what it accepts"),
        Finding("clock", skew <= MAX_CLOCK_SKEW_SECONDS, f"{skew:.1f} s apart from that of Redis"),
    ]


async def _elasticsearch(settings: "SearchSettings") -> Finding:
    from elasticsearch import ApiError, TransportError

    from newswire_search.app import open_index
    from newswire_search.index.elasticsearch.index import ElasticsearchIndex, mapping_mismatch

    index = await open_index(settings)
    assert isinstance(index, ElasticsearchIndex)  # noqa: S101 (what open_index returns for this setting)
    try:
        async with asyncio.timeout(SECONDS):
            trouble = mapping_mismatch(await index.names())
    except (ApiError, TransportError, TimeoutError) as error:
        trouble = f"cannot be reached: {error or type(error).__name__}"
    finally:
        await index.close()
    return Finding("elasticsearch", trouble is None, trouble or "reached")
