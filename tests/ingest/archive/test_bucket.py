"""The texts of old versions in a bucket of a real server of the protocol."""

from pathlib import Path

from pydantic import SecretStr

from newswire.storage.document_archive import Pointer
from tests.ingest.archive.conftest import ArchiveTest
from tests.ingest.conftest import ARTICLE, Ingest
from tests.servers.s3 import KEYS, s3_server


async def test_texts_are_moved_read_and_deleted(ingest: Ingest, publisher: dict[str, str], tmp_path: Path) -> None:
    keys = {f"archive_{name}": SecretStr(value) for name, value in KEYS.items()}
    with s3_server(tmp_path, "old-texts") as endpoint:
        other = ingest.with_settings(archive_url=f"s3://old-texts/news?endpoint={endpoint}", **keys)
        archived = ArchiveTest(other, tmp_path, publisher)
        article, retracted = await archived.publish(), await archived.publish()
        assert await archived.archive_all() == 2
        pointer = Pointer.read(await archived.stored(article))
        storage = archived.archive.storage
        assert pointer
        assert storage
        assert await storage.open(pointer.path(article, 1)) is not None
        assert (await archived.get(article)).json()["title"] == ARTICLE["title"]
        pointer = Pointer.read(await archived.stored(retracted))
        assert pointer
        await other.http.delete(f"/v1/articles/{retracted}", headers=publisher)
        assert await archived.archiver.erase()
        assert await storage.open(pointer.path(retracted, 1)) is None
        assert await storage.check() is None
    answer = await archived.get(article)
    assert (answer.status_code, answer.json()["title"]) == (503, "Service Unavailable")
    await other.http.aclose()
