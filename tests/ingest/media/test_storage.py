"""Images in a bucket: a real server of the protocol, over HTTP; and what a folder says that cannot be used."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from pydantic import SecretStr

from newswire.object_storage.folder import FolderStorage
from newswire.object_storage.s3 import S3Storage
from newswire.object_storage.storage import StorageError, read_all
from newswire.timestamps import utc_now
from newswire_ingest.media.composition import media_storage
from newswire_ingest.media.repository import MediaRepository
from newswire_ingest.media.upkeep import MediaUpkeep
from newswire_ingest.media.variants import VariantMaker
from tests.ingest.conftest import Ingest
from tests.ingest.media.images import jpeg
from tests.servers.s3 import KEYS, s3_server


@pytest.fixture(scope="module")
def endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with s3_server(tmp_path_factory.mktemp("s3"), "pictures") as url:
        yield url


async def test_files_are_written_read_and_deleted(endpoint: str) -> None:
    storage = S3Storage("pictures", prefix="/news/", endpoint=endpoint, **KEYS)
    assert await storage.check() is None
    content = bytes(range(256)) * 4000
    await storage.write("ab/x.1/original.jpg", content)
    await storage.write("ab/x.1/320.webp", b"small")
    await storage.write("ab/x.10/original.jpg", b"another upload")
    assert await read_all(storage, "ab/x.1/original.jpg") == content
    assert await storage.open("ab/x.1/640.webp") is None
    await storage.delete_folder("ab/x.1")
    await storage.delete_folder("ab/none")
    assert await storage.open("ab/x.1/320.webp") is None
    assert await read_all(storage, "ab/x.10/original.jpg") == b"another upload"


async def test_a_bucket_that_cannot_be_used_says_why(endpoint: str) -> None:
    missing = S3Storage("nowhere", endpoint=endpoint, **KEYS)
    assert "the bucket nowhere cannot be read" in str(await missing.check())
    with pytest.raises(StorageError, match="the bucket nowhere cannot be written to"):
        await missing.write("a/b", b"x")


@pytest.fixture
async def in_bucket(ingest: Ingest, endpoint: str) -> AsyncIterator[Ingest]:
    keys = {f"media_s3_{name}": SecretStr(value) for name, value in KEYS.items()}
    other = ingest.with_settings(media_s3_bucket="pictures", media_s3_endpoint=endpoint, **keys)
    yield other
    await other.http.aclose()


async def test_images_are_uploaded_served_and_removed(in_bucket: Ingest, publisher: dict[str, str]) -> None:
    added = (await in_bucket.http.post("/v1/media", content=jpeg(), headers=publisher)).json()
    assert len((await in_bucket.http.get(added["url"])).content) == added["size"]
    variant = added["variants"][0]["url"]
    assert (await in_bucket.http.get(variant)).headers["content-type"] == "image/webp"
    storage = media_storage(in_bucket.settings)
    file = await MediaRepository(in_bucket.redis, in_bucket.keys).file(added["id"])
    assert file is not None
    assert await storage.open(f"{file.path}/320.webp") is not None
    assert (await in_bucket.http.delete(f"/v1/media/{added['id']}", headers=publisher)).status_code == 204
    assert (await in_bucket.http.get(added["url"])).status_code == 404
    records = MediaRepository(in_bucket.redis, in_bucket.keys)
    upkeep = MediaUpkeep(
        records,
        storage,
        VariantMaker(records, storage, utc_now),
        in_bucket.settings.media_unused_after,
        utc_now,
        in_bucket.redis,
        in_bucket.keys,
    )
    assert await upkeep.remove()
    assert await storage.open(f"{file.path}/original.jpg") is None
    assert await storage.open(f"{file.path}/320.webp") is None


async def test_a_folder_that_cannot_be_used_says_why(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    assert await FolderStorage(tmp_path / "new" / "media").check() is None
    blocked = FolderStorage(tmp_path / "file" / "media")
    assert await blocked.check() == f"{tmp_path / 'file'} is no folder"
    with pytest.raises(StorageError, match="cannot write to"):
        await blocked.write("ab/x.1/original.jpg", b"x")
