"""The originals of images in a backup. Their smaller sizes are made again when they are asked for."""

import base64
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from newswire.media import is_file
from newswire.object_storage.storage import ObjectStorage, read_all
from newswire.storage.backup_file import BackupUnreadableError, Record
from newswire_ingest.media.models import ImageFormat
from newswire_ingest.media.repository import MediaRepository

_FOLDER = re.compile(r"[0-9a-f]{1,64}")
_FORMATS = frozenset(format_.value for format_ in ImageFormat)


@dataclass(frozen=True, slots=True)
class ImageSource:
    """Where the bytes of images are, and the ids of those that are missing there."""

    storage: ObjectStorage
    missing: list[str] = field(default_factory=list)


async def read_images(records: MediaRepository, source: ImageSource) -> AsyncIterator[Record]:
    """Read the originals of all accounts; those that are missing are left out and noted."""
    async for file in records.all_files():
        content = await read_all(source.storage, f"{file.path}/original.{file.format}")
        if content is None:
            source.missing.append(file.name)
            continue
        yield {
            "record": "image",
            "name": file.name,
            "folder": file.folder,
            "format": file.format.value,
            "content": base64.b64encode(content).decode(),
        }


async def restore_image(storage: ObjectStorage, record: Record) -> None:
    """Store an original where its record says.

    Raises:
        newswire.storage.backup_file.BackupUnreadableError: the record names no image.
        newswire.object_storage.storage.StorageError: the folder or the bucket cannot be used.
    """
    name, folder, format_ = (str(record[member]) for member in ("name", "folder", "format"))
    if not is_file(name) or not _FOLDER.fullmatch(folder) or format_ not in _FORMATS:
        raise BackupUnreadableError("the backup has an image with an invalid name")
    path = f"{name[:2]}/{name}.{folder}/original.{format_}"
    await storage.write(path, base64.b64decode(record["content"], validate=True))
