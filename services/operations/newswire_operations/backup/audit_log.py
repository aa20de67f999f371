"""The audit log in a backup: every entry is restored under its own id."""

from collections.abc import AsyncIterator, Sequence

from redis.asyncio import Redis

from newswire.keys import Keyspace
from newswire.storage.backup_file import Record, raw, text

PAGE_SIZE = 500


async def read_audit_log(redis: Redis, keys: Keyspace) -> AsyncIterator[Record]:
    """Read the audit log, oldest entry first."""
    after = "-"
    while page := await redis.xrange(keys.audit_log, after, count=PAGE_SIZE):
        for entry_id, fields in page:
            content = {name.decode(): text(value) for name, value in fields.items()}
            yield {"record": "audit", "id": entry_id.decode(), "fields": content}
        after = f"({page[-1][0].decode()}"


async def restore_audit_log(redis: Redis, keys: Keyspace, records: Sequence[Record]) -> None:
    """Append the entries of a backup to the audit log, which must be empty at first."""
    async with redis.pipeline(transaction=False) as pipe:
        for record in records:
            fields = {name: raw(value) for name, value in record["fields"].items()}
            pipe.xadd(keys.audit_log, fields, id=record["id"])
        await pipe.execute()
