"""The files of imports, in the folder or bucket of images: what was uploaded, what was read, and what became of it."""

from collections.abc import Sequence
from typing import Literal

import orjson
import zstandard

from newswire.object_storage.storage import ObjectStorage, read_all
from newswire_ingest.imports.models import Row

Results = Literal["compared", "published"]
_COMPRESSION_LEVEL = 3


class ImportFiles:
    """Reads and writes them."""

    def __init__(self, storage: ObjectStorage) -> None:
        self._storage = storage

    async def write_source(self, import_id: str, content: bytes) -> None:
        """Store what was uploaded."""
        await self._storage.write(f"{_folder(import_id)}/source", content)

    async def read_source(self, import_id: str) -> bytes | None:
        """Return what was uploaded."""
        return await read_all(self._storage, f"{_folder(import_id)}/source")

    async def write_chunk(self, import_id: str, number: int, lines: bytes) -> None:
        """Store some of the items that were read, one JSON object on each line."""
        packed = zstandard.ZstdCompressor(level=_COMPRESSION_LEVEL).compress(lines)
        await self._storage.write(f"{_folder(import_id)}/items-{number}", packed)

    async def read_chunk(self, import_id: str, number: int) -> list[Row]:
        """Return the items of a chunk; none where it was never stored."""
        return await self._lines(f"{_folder(import_id)}/items-{number}")

    async def write_results(self, import_id: str, which: Results, number: int, rows: Sequence[Row]) -> None:
        """Store what became, or would become, of the items of a chunk."""
        lines = b"".join(orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE) for row in rows)
        packed = zstandard.ZstdCompressor(level=_COMPRESSION_LEVEL).compress(lines)
        await self._storage.write(f"{_folder(import_id)}/{which}-{number}", packed)

    async def read_results(self, import_id: str, which: Results, number: int) -> list[Row]:
        """Return what became, or would become, of the items of a chunk."""
        return await self._lines(f"{_folder(import_id)}/{which}-{number}")

    async def delete(self, import_id: str) -> None:
        """Delete all files of an import."""
        await self._storage.delete_folder(_folder(import_id))

    async def _lines(self, path: str) -> list[Row]:
        packed = await read_all(self._storage, path)
        if packed is None:
            return []
        return [orjson.loads(line) for line in zstandard.decompress(packed).splitlines()]


def _folder(import_id: str) -> str:
    return f"imports/{import_id}"
