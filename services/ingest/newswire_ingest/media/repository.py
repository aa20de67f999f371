"""The records of images in Redis; the bytes are in the storage."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from redis.asyncio import Redis

from newswire.keys import INGEST_SCHEMA, Keyspace
from newswire.storage.redis_functions import FunctionLibrary, LuaSource
from newswire.timestamps import epoch_ms, rfc3339
from newswire_ingest.media.models import CleanImage, ImageFormat, Media, MediaFile, MediaText

LUA = LuaSource("newswire_ingest.media", "media", ("items",))
USES = ("newswire_ingest.media:items", "newswire_ingest.media:uses")
"""What the libraries of articles and drafts share with this one."""
Queue = Literal["variants", "removals"]
Verdict = Literal["ADDED", "KNOWN", "LATE", "FULL"]
UNFINISHED_UPLOAD_MS = 3_600_000
"""How long an upload may take from its first byte in the storage to its record; then what it wrote is deleted."""


@dataclass(frozen=True, slots=True)
class MediaPage:
    """Images, newest first, and the position after which the next page starts; None on the last one."""

    media: list[Media]
    next_position: int | None


def media_names(keys: Keyspace) -> str:
    """Return the prefix of the keys of images."""
    return keys.key("media", "")


class MediaRepository:
    """Reads and writes the records of one installation."""

    def __init__(self, redis: "Redis", keys: Keyspace) -> None:
        self._redis = redis
        self._names = media_names(keys)
        self._functions = FunctionLibrary.packaged(redis, keys.namespace, LUA, route=(f"{self._names}file",))

    async def announce(self, file: MediaFile, now: datetime) -> None:
        """Record that a folder is about to be written, so that it is deleted if its upload is not finished."""
        due = epoch_ms(now) + UNFINISHED_UPLOAD_MS
        await self._redis.zadd(f"{self._names}removals", {_stored(file): due})

    async def add(
        self,
        file: MediaFile,
        account: str,
        text: MediaText,
        created_by: str,
        now: datetime,
        *,
        written: bool,
        max_bytes: int,
    ) -> Verdict:
        """Add an image whose bytes are stored to an account. ``written``: in the folder of ``file``, not before.

        ``max_bytes``: of the account's images together; 0 for any number.
        """
        answer = await self._call(
            "add",
            file=file.name,
            folder=file.folder,
            written=written,
            account=account,
            now=epoch_ms(now),
            file_fields=_pairs(_file_fields(file)),
            item_fields=_pairs({"created_at": rfc3339(now), "created_by": created_by, **text.given()}),
            variants=bool(file.widths),
            size=file.size,
            max_bytes=max_bytes,
        )
        verdict: Verdict = answer.decode()
        return verdict

    async def describe(self, file: str, account: str, text: MediaText) -> bool:
        """Change the texts of an image; return whether the account has it."""
        return bool(await self._call("describe", file=file, account=account, fields=_pairs(text.given())))

    async def delete(self, file: str, account: str, now: datetime) -> int | None:
        """Delete an image unless it is used; return the number of its uses, None if the account does not have it."""
        uses = int(await self._call("delete", file=file, account=account, now=epoch_ms(now)))
        return None if uses < 0 else uses

    async def expire(self, before: datetime, now: datetime, limit: int) -> list[tuple[str, str]]:
        """Delete images that have been unused since before a time; return the file and the account of each."""
        found = await self._call("expire", before=epoch_ms(before), now=epoch_ms(now), limit=limit)
        pairs = [member.decode().partition(" ") for member in found]
        return [(file, account) for file, _, account in pairs]

    async def bytes_of(self, account: str) -> int:
        """Return how many bytes the images of an account take, without their variants."""
        return int(await self._redis.hget(f"{self._names}bytes", account) or 0)

    async def owners(self, file: str) -> set[str]:
        """Return the accounts that uploaded an image."""
        return {owner.decode() for owner in await self._redis.smembers(f"{self._names}owners:{file}")}

    async def claim(self, queue: Queue, now: datetime, lease_ms: int, limit: int) -> list[str]:
        """Take work that is due from a queue."""
        found = await self._call("claim", queue=queue, now=epoch_ms(now), lease=lease_ms, limit=limit)
        return [member.decode() for member in found]

    async def made(self, file: MediaFile, now: datetime, *, complete: bool) -> bool:
        """Record that variants were written; return whether the file is still stored."""
        arguments = {"file": file.name, "folder": file.folder, "now": epoch_ms(now), "complete": complete}
        return bool(await self._call("made", **arguments))

    async def removed(self, stored: str) -> None:
        """Record that a folder was deleted from the storage."""
        await self._redis.zrem(f"{self._names}removals", stored)

    async def skip_variants(self, file: str) -> None:
        """Take a file without variants out of the queue."""
        await self._redis.zrem(f"{self._names}variants", file)

    async def file(self, name: str) -> MediaFile | None:
        """Return a stored file."""
        fields = await self._redis.hgetall(f"{self._names}file:{name}")
        return _read_file(name, fields) if fields else None

    async def all_files(self) -> AsyncIterator[MediaFile]:
        """Return the stored files of all accounts, in no order; one that is removed meanwhile may be missing."""
        prefix = f"{self._names}file:"
        async for name in self._redis.scan_iter(f"{prefix}*", count=500):
            file = await self.file(name.decode().removeprefix(prefix))
            if file is not None:
                yield file

    async def owned_files(self, account: str, names: Sequence[str]) -> list[MediaFile]:
        """Return those of the files that an account has."""
        if not names:
            return []
        async with self._redis.pipeline(transaction=False) as pipe:
            for name in names:
                pipe.exists(f"{self._names}item:{name}:{account}")
                pipe.hgetall(f"{self._names}file:{name}")
            found = await pipe.execute()
        pairs = zip(names, found[::2], found[1::2], strict=True)
        return [_read_file(name, fields) for name, owned, fields in pairs if owned and fields]

    async def find(self, account: str, name: str) -> Media | None:
        """Return an image of an account."""
        return next(iter(await self._read_all(account, [name])), None)

    async def page(self, account: str, before: int | None, limit: int) -> MediaPage:
        """Return images of an account, newest first: from the number of those that were passed already."""
        first = before or 0
        found = await self._redis.zrange(f"{self._names}of:{account}", first, first + limit, desc=True)
        names = [name.decode() for name in found]
        more = first + limit if len(names) > limit else None
        return MediaPage(await self._read_all(account, names[:limit]), more)

    async def _read_all(self, account: str, names: Sequence[str]) -> list[Media]:
        async with self._redis.pipeline(transaction=False) as pipe:
            for name in names:
                pipe.hgetall(f"{self._names}file:{name}")
                pipe.hgetall(f"{self._names}item:{name}:{account}")
                pipe.scard(f"{self._names}uses:{name}:{account}")
            found = await pipe.execute() if names else []
        parts = zip(names, found[::3], found[1::3], found[2::3], strict=True)
        return [
            _read_item(account, _read_file(name, file), item, int(uses))
            for name, file, item, uses in parts
            if file and item
        ]

    async def _call(self, function: str, **arguments: Any) -> Any:
        return await self._functions.call(function, [], {"names": self._names, **arguments})


def _stored(file: MediaFile) -> str:
    return f"{file.name}.{file.folder}"


def _pairs(fields: dict[str, str]) -> list[str]:
    return [part for pair in fields.items() for part in pair]


def new_file(name: str, folder: str, image: CleanImage) -> MediaFile:
    """Return the file of an image that was cleaned."""
    return MediaFile(
        name,
        folder,
        image.format,
        len(image.content),
        image.width,
        image.height,
        image.frames,
        image.alpha,
        image.colour,
    )


def _file_fields(file: MediaFile) -> dict[str, str]:
    return {
        "schema": str(INGEST_SCHEMA),
        "format": file.format.value,
        "size": str(file.size),
        "width": str(file.width),
        "height": str(file.height),
        "frames": str(file.frames),
        "alpha": "1" if file.alpha else "",
        "colour": file.colour,
    }


def _read_file(name: str, fields: dict[bytes, bytes]) -> MediaFile:
    return MediaFile(
        name,
        fields[b"folder"].decode(),
        ImageFormat(fields[b"format"].decode()),
        int(fields[b"size"]),
        int(fields[b"width"]),
        int(fields[b"height"]),
        int(fields[b"frames"]),
        bool(fields[b"alpha"]),
        fields[b"colour"].decode(),
    )


def _read_item(account: str, file: MediaFile, fields: dict[bytes, bytes], uses: int) -> Media:
    texts = {
        name: fields[name.encode()].decode() or None for name in ("alt", "caption", "credit") if name.encode() in fields
    }
    return Media(
        file,
        account,
        datetime.fromisoformat(fields[b"created_at"].decode()),
        fields[b"created_by"].decode(),
        texts.get("alt"),
        texts.get("caption"),
        texts.get("credit"),
        uses,
    )
