"""What publishers and editors do with images: add, find, list, describe and delete them."""

import asyncio
import hashlib
import secrets
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable
from datetime import datetime
from typing import Literal

from redis.asyncio import Redis

from newswire.keys import Keyspace
from newswire.media import ArticleImage, files_in, is_file, original_address
from newswire.object_storage.storage import ObjectStorage
from newswire.observability import audit
from newswire.observability.audit import Act, Actor
from newswire_ingest.media import image_worker
from newswire_ingest.media.errors import (
    MediaBusyError,
    MediaInUseError,
    MediaNotFoundError,
    MediaSpaceError,
    UploadTooLargeError,
)
from newswire_ingest.media.models import CleanImage, Media, MediaFile, MediaText
from newswire_ingest.media.repository import MediaPage, MediaRepository, new_file

MAX_UPLOADS = 8
"""Uploads that a process receives at a time; each is in memory until it is decoded."""
MAX_UPLOADS_PER_ACCOUNT = 4
UPLOAD_SECONDS = 300.0
MAX_ATTEMPTS = 3
PAGE_SIZE = 50


class MediaService:
    """The images of all accounts. Every change leaves one entry in the audit log."""

    def __init__(
        self,
        redis: "Redis",
        keys: Keyspace,
        storage: ObjectStorage,
        site: str,
        max_bytes: int,
        clock: Callable[[], datetime],
        space_bytes: int = 0,
    ) -> None:
        """``max_bytes``: of one image; ``space_bytes``: of all images of an account, 0 for any number."""
        self.records = MediaRepository(redis, keys)
        self.storage = storage
        self.site = site
        self.max_bytes = max_bytes
        self.space_bytes = space_bytes
        self._redis = redis
        self._keys = keys
        self._clock = clock
        self._uploading: dict[str, int] = {}

    async def add(
        self,
        account: str,
        actor: Actor,
        stream: AsyncIterable[bytes],
        *,
        alt: str | None = None,
        caption: str | None = None,
        credit: str | None = None,
    ) -> Media:
        """Store an image for an account. The same image again returns the one that is there, with its texts as they are.

        Raises:
            UploadTooLargeError: it has too many bytes.
            InvalidImageError: it is no image that is accepted.
            MediaBusyError: too many images are being uploaded.
            MediaSpaceError: the account's images take too many bytes.
            StorageError: the folder or the bucket cannot be used.
            newswire.concurrency.offload.OffloadError: too many images are being decoded.
        """
        return (await self.store(account, actor, stream, lambda: MediaText(alt, caption, credit)))[0]

    async def store(
        self, account: str, actor: Actor, stream: AsyncIterable[bytes], text: Callable[[], MediaText]
    ) -> tuple[Media, bool]:
        """Do what `add` does; return also whether the image is new to the account. ``text`` is called when the stream has ended."""
        image = await self._receive(account, stream)
        told = text()
        name = hashlib.sha256(image.content).hexdigest()
        for _ in range(MAX_ATTEMPTS):
            file, now = new_file(name, secrets.token_hex(8), image), self._clock()
            if is_new := await self.records.file(name) is None:
                await self.records.announce(file, now)
                await self.storage.write(f"{file.path}/original.{file.format}", image.content)
            by = actor.user_id or actor.key_id or ""
            verdict = await self.records.add(file, account, told, by, now, written=is_new, max_bytes=self.space_bytes)
            if verdict == "FULL":
                raise MediaSpaceError(self.space_bytes)
            if verdict != "LATE":
                break
        else:
            raise MediaBusyError
        media = await self.find(account, name)
        if verdict == "ADDED":
            await self._record(actor, Act.MEDIA_ADDED, name, account=account, bytes=file.size, format=file.format.value)
        return media, verdict == "ADDED"

    async def find(self, account: str, media_id: str) -> Media:
        """Return an image of an account.

        Raises:
            MediaNotFoundError: it has none with this id.
        """
        found = await self.records.find(account, media_id) if is_file(media_id) else None
        if found is None:
            raise MediaNotFoundError
        return found

    async def list(self, account: str, *, position: int | None = None, limit: int = PAGE_SIZE) -> MediaPage:
        """Return images of an account, newest first."""
        return await self.records.page(account, position, limit)

    async def update(
        self,
        account: str,
        actor: Actor,
        media_id: str,
        *,
        alt: str | None = None,
        caption: str | None = None,
        credit: str | None = None,
    ) -> Media:
        """Change what is said about an image; None keeps a text, an empty one removes it. Articles that were published keep theirs.

        Raises:
            MediaNotFoundError: the account has no such image.
        """
        before, text = await self.find(account, media_id), MediaText(alt, caption, credit)
        changed = [name for name, value in text.given().items() if (getattr(before, name) or "") != value]
        if not changed:
            return before
        if not await self.records.describe(media_id, account, text):
            raise MediaNotFoundError
        await self._record(actor, Act.MEDIA_CHANGED, media_id, account=account, changed=changed)
        return await self.find(account, media_id)

    async def delete(self, account: str, actor: Actor, media_id: str) -> None:
        """Delete an image that nothing uses.

        Raises:
            MediaNotFoundError: the account has no such image.
            MediaInUseError: articles or drafts use it.
        """
        uses = await self.records.delete(media_id, account, self._clock()) if is_file(media_id) else None
        if uses is None:
            raise MediaNotFoundError
        if uses:
            raise MediaInUseError(uses)
        await self._record(actor, Act.MEDIA_DELETED, media_id, account=account)

    async def article_images(self, account: str, texts: Iterable[str]) -> dict[str, ArticleImage]:
        """Return the images of an account whose addresses occur in texts of an article, by their files."""
        files = await self.records.owned_files(account, files_in(self.site, texts))
        return {file.name: self._article_image(file) for file in files}

    async def verify(self) -> AsyncIterator[tuple[str, Literal["sound", "missing", "changed"]]]:
        """Read every stored image of all accounts, and return its id with what is found in the storage."""
        async for file in self.records.all_files():
            found = await self.storage.open(f"{file.path}/original.{file.format}")
            if found is None:
                yield file.name, "missing"
                continue
            digest = hashlib.sha256()
            async for chunk in found.chunks:
                digest.update(chunk)
            yield file.name, "sound" if digest.hexdigest() == file.name else "changed"

    async def _receive(self, account: str, stream: AsyncIterable[bytes]) -> CleanImage:
        """Read an upload into memory, and decode it."""
        if self.space_bytes and await self.records.bytes_of(account) >= self.space_bytes:
            raise MediaSpaceError(self.space_bytes)
        mine = self._uploading.get(account, 0)
        if mine >= MAX_UPLOADS_PER_ACCOUNT or sum(self._uploading.values()) >= MAX_UPLOADS:
            raise MediaBusyError
        self._uploading[account] = mine + 1
        try:
            chunks, size = [], 0
            async with asyncio.timeout(UPLOAD_SECONDS):
                async for chunk in stream:
                    size += len(chunk)
                    if size > self.max_bytes:
                        raise UploadTooLargeError(self.max_bytes)
                    chunks.append(chunk)
            return await image_worker.clean(b"".join(chunks))
        except TimeoutError:
            raise MediaBusyError from None
        finally:
            self._uploading[account] -= 1
            if not self._uploading[account]:
                del self._uploading[account]

    def _article_image(self, file: MediaFile) -> ArticleImage:
        url = original_address(self.site, file.name, file.format)
        return ArticleImage(url=url, width=file.width, height=file.height, widths=file.widths)

    async def _record(self, actor: Actor, act: Act, media_id: str, **details: object) -> None:
        await audit.record(self._redis, self._keys, actor, act, "media", media_id, **details)
