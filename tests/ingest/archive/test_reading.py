"""Many archived texts are read together, in batches of bounded size and number."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

import pytest

from newswire.object_storage.folder import FolderStorage
from newswire.object_storage.storage import StorageError
from newswire.storage import document_archive
from newswire.storage.article_records import pack
from newswire.storage.document_archive import (
    BATCH_SIZE,
    CONCURRENT_BATCHES,
    MARKER,
    DocumentArchive,
    DocumentMissingError,
    DocumentUnavailableError,
    Pointer,
)

COUNT = 5 * BATCH_SIZE + 1


class Watched(FolderStorage):
    """A folder that records how it is read, and can fail or cut files off at first."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.batches: list[int] = []
        self.most = self.reading = 0
        self.failures = 0
        self.cut_off = False

    async def read_small(self, files: Sequence[tuple[str, int]]) -> list[bytes | StorageError | None]:
        self.batches.append(len(files))
        self.reading += 1
        self.most = max(self.most, self.reading)
        try:
            if self.failures:
                self.failures -= 1
                return [StorageError("503 SlowDown") for _ in files]
            found = await super().read_small(files)
        finally:
            self.reading -= 1
        if self.cut_off:
            self.cut_off = False
            return [content[:-1] if isinstance(content, bytes) else content for content in found]
        return found


@pytest.fixture
async def storage(tmp_path: Path) -> Watched:
    found = Watched(tmp_path)
    await found.write(MARKER, b"x")
    return found


async def archived(storage: FolderStorage, count: int) -> tuple[list[tuple[str, int]], list[bytes], list[bytes]]:
    """Store texts; return their versions, the pointers, and the texts."""
    versions = [(f"a{number:025}", 1) for number in range(count)]
    texts = [pack(b'{"title":"%d"}' % number) for number in range(count)]
    pointers = [Pointer.to(text, 20) for text in texts]
    await asyncio.gather(
        *(
            storage.write(pointer.path(*version), text)
            for pointer, version, text in zip(pointers, versions, texts, strict=True)
        )
    )
    return versions, [pointer.written().encode() for pointer in pointers], texts


async def test_many_texts_are_read_in_bounded_batches(storage: Watched) -> None:
    versions, pointers, texts = await archived(storage, COUNT)
    in_redis: list[bytes | None] = [*pointers, b"in Redis", None]
    numbered = [*versions, ("b", 1), ("c", 1)]
    assert await DocumentArchive(storage).resolve_all(numbered, in_redis) == [*texts, b"in Redis", None]
    assert sorted(storage.batches) == [1, *[BATCH_SIZE] * 5]
    assert storage.most == CONCURRENT_BATCHES


async def test_a_batch_has_a_bounded_size(storage: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    versions, pointers, texts = await archived(storage, 6)
    monkeypatch.setattr(document_archive, "MAX_BATCH_BYTES", 2 * len(texts[0]))
    monkeypatch.setattr(document_archive, "LARGE_BYTES", 1)  # hashed in a thread
    assert await DocumentArchive(storage).resolve_all(versions, pointers) == texts
    assert storage.batches == [2, 2, 2]


async def test_one_lost_text_does_not_affect_the_others(storage: Watched) -> None:
    versions, pointers, texts = await archived(storage, 3)
    pointer = Pointer.read(pointers[1])
    assert pointer
    await storage.delete_folder(pointer.path(*versions[1]).rpartition("/")[0])
    found = await DocumentArchive(storage).resolve_each(versions, pointers)
    assert (found[0], found[2]) == (texts[0], texts[2])
    assert isinstance(found[1], DocumentMissingError)
    assert storage.batches == [3, 1]


async def test_a_text_that_arrives_incomplete_is_read_again(storage: Watched) -> None:
    versions, pointers, texts = await archived(storage, 1)
    storage.cut_off = True
    assert await DocumentArchive(storage).resolve(*versions[0], pointers[0]) == texts[0]


async def test_commands_repeat_a_read_that_fails(storage: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(document_archive, "FAILING_SECONDS", 0.0)
    versions, pointers, texts = await archived(storage, 2)
    storage.failures = 4  # each attempt reads twice
    assert await DocumentArchive(storage, retry_pauses=(0.0, 0.0)).resolve_all(versions, pointers) == texts
    storage.failures = 4
    with pytest.raises(DocumentUnavailableError):
        await DocumentArchive(storage, retry_pauses=(0.0,)).resolve_all(versions, pointers)
