"""Makes the variants of images: in the background after an upload, and for the first reader who asks for one that is missing."""

import asyncio
import logging
from collections.abc import Callable
from datetime import datetime

from newswire.object_storage.storage import ObjectStorage, read_all
from newswire_ingest.media import image_worker
from newswire_ingest.media.models import ImageFormat, MediaFile
from newswire_ingest.media.repository import MediaRepository

log = logging.getLogger(__name__)


class VariantMaker:
    """Makes variants. Of concurrent requests for the same one, the first makes it and the others wait."""

    def __init__(self, records: MediaRepository, storage: ObjectStorage, clock: Callable[[], datetime]) -> None:
        self._records = records
        self._storage = storage
        self._clock = clock
        self._making: dict[str, asyncio.Task[bytes | None]] = {}

    async def make(self, file: MediaFile, width: int, format_: ImageFormat) -> bytes | None:
        """Make one variant, and return it; None if the original is gone.

        Raises:
            newswire_ingest.media.errors.MediaError: it cannot be decoded, read or written.
            newswire.concurrency.offload.OffloadError: too many images are being decoded.
        """
        path = f"{file.path}/{width}.{format_}"
        making = self._making.get(path)
        if making is None:
            making = asyncio.create_task(self._make(file, width, format_, path))
            self._making[path] = making
            making.add_done_callback(lambda _: self._making.pop(path, None))
        return await asyncio.shield(making)

    async def make_all(self, file: MediaFile) -> None:
        """Make the WebP variants; those of the other format are made when somebody asks for them."""
        for width in file.widths:
            if await self.make(file, width, ImageFormat.WEBP) is None:
                log.error("a stored image is missing in the storage", extra={"file": file.name})
                break
        await self._records.made(file, self._clock(), complete=True)

    async def _make(self, file: MediaFile, width: int, format_: ImageFormat, path: str) -> bytes | None:
        original = await read_all(self._storage, f"{file.path}/original.{file.format}")
        if original is None:
            return None
        made = await image_worker.scale(original, width, format_)
        await self._storage.write(path, made)
        stored = await self._records.made(file, self._clock(), complete=False)
        return made if stored else None
