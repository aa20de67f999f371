"""Every release restores the backups of the releases before it, completely: a backup of the result has all of their records."""

import io
import json
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
import zstandard
from redis.asyncio import Redis

from newswire.keys import Keyspace
from newswire_operations.backup.restore import restore_backup
from newswire_operations.backup.write import write_backup
from newswire_operations.stores import Stores

RELEASE = (Path(__file__).parents[2] / "VERSION").read_text().strip()
BACKUPS = sorted(Path(__file__).parent.glob("backup-*.nw"))
CHANGING = {"ttl_ms", "reading"}
"""Members that depend on the time of the backup."""


def records(path: Path) -> list[dict[str, Any]]:
    """Return the records of a backup."""
    with path.open("rb") as file, zstandard.ZstdDecompressor().stream_reader(file) as stream:
        lines = [json.loads(line) for line in io.TextIOWrapper(stream)]
    for line in lines:
        if line.get("type") in {"hash", "set", "zset"}:
            line["value"].sort()  # Redis does not keep their order
    return [{name: value for name, value in line.items() if name not in CHANGING} for line in lines if "record" in line]


def test_this_release_has_a_golden_backup() -> None:
    assert f"backup-{RELEASE}.nw" in [path.name for path in BACKUPS]


@pytest.mark.parametrize("backup", BACKUPS, ids=lambda path: path.stem)
async def test_nothing_of_a_golden_backup_is_lost(backup: Path, redis: Redis, namespace: str, tmp_path: Path) -> None:
    stores = Stores(redis, redis, Keyspace(namespace))
    await restore_backup(stores, backup, lambda: None)
    again = tmp_path / "again.nw"
    await write_backup(stores, again.with_suffix(".draft"), again, lambda title, total: nullcontext(lambda: None))
    found = records(again)
    golden = records(backup)
    assert {record["record"] for record in golden} >= {"article", "delivery", "entry", "key"}
    missing = [record for record in golden if record not in found]
    assert missing == []
