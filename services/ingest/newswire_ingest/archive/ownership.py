"""An archive belongs to one installation, which its marker file names.

Two installations that share an archive delete each other's texts: a retraction in one deletes the folder of the article, which a
copy of the installation has under the same id. So nothing is written or deleted in an archive whose marker names another one. An
installation that was restored from a backup is another one, until an operator says that it takes the place of the first.
"""

from dataclasses import dataclass

import orjson

from newswire.object_storage.storage import ObjectStorage, StorageError, read_all
from newswire.storage.document_archive import MARKER
from newswire_ingest.archive.repository import ArchiveRepository


class ForeignArchiveError(StorageError):
    """The archive is that of another installation."""


@dataclass(frozen=True, slots=True)
class Owner:
    """The installation that an archive belongs to."""

    installation: str
    """A random id; empty in an archive of a release that did not write it."""
    namespace: str = ""

    def marker(self) -> bytes:
        """Return the content of the marker."""
        return orjson.dumps({"installation": self.installation, "namespace": self.namespace}) + b"\n"

    @classmethod
    def read(cls, marker: bytes) -> "Owner":
        """Read the content of a marker."""
        try:
            members = orjson.loads(marker)
            return cls(str(members["installation"]), str(members.get("namespace", "")))
        except (orjson.JSONDecodeError, KeyError, TypeError, AttributeError):
            return cls("")


async def check_owner(records: ArchiveRepository, storage: ObjectStorage) -> bool:
    """Return whether there is an archive, which is then that of this installation.

    Raises:
        ForeignArchiveError: it belongs to another installation.
        StorageError: it cannot be read, or what is there is no archive any more.
    """
    own = Owner(await records.installation(), records.namespace)
    marker = await read_all(storage, MARKER)
    if marker is None:
        if await records.is_marked():
            raise StorageError(f"the archive has no file {MARKER}: is it mounted, and the right one?")
        return False
    found = Owner.read(marker)
    if not found.installation and await records.is_marked():  # it was made by an earlier release
        await storage.write(MARKER, own.marker())
    elif found.installation != own.installation:
        name = f" (namespace {found.namespace})" if found.namespace else ""
        raise ForeignArchiveError(
            f"the archive belongs to another installation{name}: give this one a folder, bucket or prefix of its own in "
            "NEWSWIRE_ARCHIVE_URL; if it takes the place of the other one, after a restore, run `newswire archive adopt`"
        )
    return True


async def own_archive(records: ArchiveRepository, storage: ObjectStorage) -> None:
    """Make sure that there is an archive, which is that of this installation.

    Raises:
        StorageError: see `check_owner`.
    """
    if not await check_owner(records, storage):
        await adopt_archive(records, storage)


async def adopt_archive(records: ArchiveRepository, storage: ObjectStorage) -> None:
    """Make the archive that of this installation. Another one whose it was can write and delete nothing in it from then on.

    Raises:
        StorageError: it cannot be written.
    """
    await storage.write(MARKER, Owner(await records.installation(), records.namespace).marker())
    await records.mark()
