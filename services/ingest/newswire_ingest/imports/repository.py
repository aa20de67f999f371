"""The records of imports in Redis; their files are in the storage of images."""

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta

import orjson
from redis.asyncio import Redis

from newswire.keys import INGEST_SCHEMA, Keyspace
from newswire.storage.redis_functions import FLAT_FIELDS, FunctionLibrary, LuaSource
from newswire.timestamps import epoch_ms, from_epoch_ms
from newswire_ingest.imports.models import COUNTED, Import, ImportState

LUA = LuaSource("newswire_ingest.imports", "imports", (FLAT_FIELDS,))
MAX_LISTED = 100

Fields = Mapping[str, str | int]


class ImportRepository:
    """Reads and writes the records of one installation."""

    def __init__(self, redis: "Redis", keys: Keyspace) -> None:
        self._redis = redis
        self._keys = keys
        self._functions = FunctionLibrary.packaged(redis, keys.namespace, LUA)

    async def add(self, new: Import, limit: int) -> bool:
        """Store a new import, which is due at once; return False where the account has ``limit`` imports."""
        fields: Fields = {
            "schema": INGEST_SCHEMA,
            "account": new.account,
            "file_name": new.file_name,
            "size": new.size,
            "silent": int(new.silent),
            "expired": int(new.expired),
            "user": new.user,
            "user_name": new.user_name,
            "created": epoch_ms(new.created_at),
            "state": new.state.value,
        }
        arguments = {"id": new.id, "now": epoch_ms(new.created_at), "limit": limit, "fields": _texts(fields)}
        return bool(await self._functions.call("add_import", self._names(new.id, new.account), arguments))

    async def claim(self, now: datetime, lease: timedelta, token: str) -> Import | None:
        """Claim the import that is due first."""
        arguments = {
            "now": epoch_ms(now),
            "ends": epoch_ms(now + lease),
            "token": token,
            "prefix": self._keys.key("import", ""),
        }
        found = await self._functions.call("claim_import", [self._due], arguments)
        return await self.find(found.decode()) if found else None

    async def save(self, import_id: str, token: str, fields: Fields, due: datetime | None) -> bool:
        """Store progress; the work goes on when it is ``due``, and has ended where that is None. False: the claim was lost."""
        arguments = {"id": import_id, "token": token, "fields": _texts(fields), "due": epoch_ms(due) if due else 0}
        return bool(await self._functions.call("save_import", [self._record(import_id), self._due], arguments))

    async def move(self, import_id: str, from_: Iterable[ImportState], fields: Fields, due: datetime | None) -> bool:
        """Change an import in one of these states; return whether it was in one."""
        arguments = {
            "id": import_id,
            "from": [state.value for state in from_],
            "fields": _texts(fields),
            "due": epoch_ms(due) if due else 0,
        }
        return bool(await self._functions.call("move_import", [self._record(import_id), self._due], arguments))

    async def remove(self, found: Import) -> bool:
        """Remove an import; return whether it was there."""
        return bool(await self._functions.call("remove_import", self._names(found.id, found.account), {"id": found.id}))

    async def find(self, import_id: str) -> Import | None:
        """Return an import, or None."""
        fields = await self._redis.hgetall(self._record(import_id))
        return _import(import_id, fields) if fields else None

    async def of_account(self, account: str) -> list[Import]:
        """Return the imports of an account, newest first."""
        return await self._read(
            await self._redis.zrevrange(self._keys.key("imports", "of", account), 0, MAX_LISTED - 1)
        )

    async def created_before(self, at: datetime, limit: int) -> list[Import]:
        """Return imports that were created before a time, oldest first."""
        name = self._keys.key("imports", "all")
        return await self._read(await self._redis.zrangebyscore(name, "-inf", epoch_ms(at), 0, limit))

    async def _read(self, ids: Iterable[bytes]) -> list[Import]:
        names = [each.decode() for each in ids]
        async with self._redis.pipeline(transaction=False) as pipe:
            for name in names:
                pipe.hgetall(self._record(name))
            records = await pipe.execute()
        return [_import(name, fields) for name, fields in zip(names, records, strict=True) if fields]

    @property
    def _due(self) -> str:
        return self._keys.key("imports", "due")

    def _record(self, import_id: str) -> str:
        return self._keys.key("import", import_id)

    def _names(self, import_id: str, account: str) -> list[str]:
        key = self._keys.key
        return [self._record(import_id), key("imports", "of", account), key("imports", "all"), self._due]


def progress_fields(found: Import) -> dict[str, str | int]:
    """Return the fields that change while a process works on an import."""
    return {
        "state": found.state.value,
        "counts": orjson.dumps(found.counts).decode(),
        "chunks": found.chunks,
        "items": found.items,
        "cursor": found.cursor,
        "done": found.done,
        "failed_chunks": ",".join(map(str, found.failed_chunks)),
        "reason": found.reason,
        "started": int(found.started),
    }


def _texts(fields: Fields) -> dict[str, str]:
    return {name: str(value) for name, value in fields.items()}


def _import(import_id: str, stored: Mapping[bytes, bytes]) -> Import:
    text = {name.decode(): value.decode() for name, value in stored.items()}
    failed = text.get("failed_chunks", "")
    return Import(
        id=import_id,
        account=text["account"],
        file_name=text["file_name"],
        size=int(text["size"]),
        silent=text["silent"] == "1",
        expired=text["expired"] == "1",
        user=text["user"],
        user_name=text["user_name"],
        created_at=from_epoch_ms(int(text["created"])),
        state=ImportState(text["state"]),
        counts=dict.fromkeys(COUNTED, 0) | orjson.loads(text.get("counts", "{}")),
        chunks=int(text.get("chunks", 0)),
        items=int(text.get("items", 0)),
        cursor=int(text.get("cursor", 0)),
        begun=int(text.get("begun", 0)),
        done=int(text.get("done", 0)),
        failed_chunks=tuple(map(int, failed.split(","))) if failed else (),
        reason=text.get("reason", ""),
        started=text.get("started") == "1",
    )
