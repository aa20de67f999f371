"""The audit log in a backup: entry by entry, each restored under its own id."""

from collections.abc import AsyncIterator, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from redis.asyncio import Redis

    from newswire.keys import Keyspace
    from newswire.storage.backup_file import Record

PAGE = 500


async def audit_records(redis: "Redis", keys: "Keyspace") -> AsyncIterator["Record"]:
    """Read the audit log, oldest entry first."""
    from newswire.storage.backup_file import text

    after = "-"
    while page := await redis.xrange(keys.audit_log, after, count=PAGE):
        for entry_id, fields in page:
            content = {name.decode(): text(value) for name, value in fields.items()}
            yield {"record": "audit", "id": entry_id.decode(), "fields": content}
        after = f"({page[-1][0].decode()}"


async def restore_audit(redis: "Redis", keys: "Keyspace", records: Sequence["Record"]) -> None:
    """Append the entries of a backup to the empty log."""
    from newswire.storage.backup_file import raw

    async with redis.pipeline(transaction=False) as pipe:
        for record in records:
            fields = {name: raw(value) for name, value in record["fields"].items()}
            pipe.xadd(keys.audit_log, fields, id=record["id"])
        await pipe.execute()
