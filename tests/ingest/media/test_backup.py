"""Images of a backup are written where their records say, and nowhere else."""

import base64
from pathlib import Path
from typing import Any

import pytest

from newswire.object_storage.folder import FolderStorage
from newswire.storage.backup_file import BackupUnreadableError
from newswire_ingest.backup.images import ImageSource, read_images, restore_image
from newswire_ingest.media.repository import MediaRepository
from tests.ingest.media.conftest import MediaTest

IMAGE = {
    "record": "image",
    "name": "a" * 64,
    "folder": "0f",
    "format": "jpg",
    "content": base64.b64encode(b"x").decode(),
}


async def test_originals_are_read_and_written_again(
    media: MediaTest, publisher: dict[str, str], tmp_path: Path
) -> None:
    await media.upload(publisher)
    records = MediaRepository(media.ingest.redis, media.ingest.keys)
    [record] = [each async for each in read_images(records, ImageSource(FolderStorage(media.folder)))]
    await restore_image(FolderStorage(tmp_path / "copy"), record)
    originals = [path.relative_to(media.folder) for path in media.folder.rglob("original.*")]
    assert [
        path.relative_to(tmp_path / "copy") for path in (tmp_path / "copy").rglob("*.*") if path.is_file()
    ] == originals
    empty = ImageSource(FolderStorage(tmp_path / "empty"))
    assert [each async for each in read_images(records, empty)] == []
    assert empty.missing == [record["name"]]


@pytest.mark.parametrize(
    "change",
    [{"name": "../../etc"}, {"name": "A" * 64}, {"folder": "../x"}, {"folder": ""}, {"format": "jpg/../../x"}],
)
async def test_an_image_with_another_name_is_refused(tmp_path: Path, change: dict[str, Any]) -> None:
    with pytest.raises(BackupUnreadableError):
        await restore_image(FolderStorage(tmp_path / "media"), IMAGE | change)
    assert not (tmp_path / "media").exists()
