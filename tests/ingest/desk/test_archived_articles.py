"""The desk shows articles whose texts are in the archive; while it is away, it says so, and can retract them."""

from dataclasses import replace
from pathlib import Path

import pytest

from newswire.auth.credentials import Scope
from newswire.storage import document_archive
from newswire.users.roles import Role
from tests.ingest.archive.conftest import ArchiveTest
from tests.ingest.desk.test_desk_pages import ACCOUNT, revision
from tests.ingest.users.conftest import Desk, MakeUser

TITLE = "Ferries sail again"
AWAY = "Its text is in the archive, which cannot be read at the moment"


async def test_articles_in_the_archive(
    desk: Desk, user: MakeUser, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(document_archive, "FAILING_SECONDS", 0.0)
    own = desk.ingest.with_settings(archive_url=(tmp_path / "archive").as_uri())
    desk = replace(desk, ingest=own)
    archived = ArchiveTest(own, tmp_path / "archive", await own.key("Harbour Post", Scope.PUBLISH))
    editor = await desk.signed_in(await user("ida@harbour.example", Role.EDITOR))
    kept, retracted = [f"/desk/articles/{await archived.publish(title=title)}" for title in (TITLE, "To be retracted")]
    assert await archived.archive_all() == 2
    assert TITLE in (await editor.get(f"{kept}{ACCOUNT}")).text
    archived.unmount()
    for path in ("/desk?show=published", f"{kept}{ACCOUNT}"):
        page = await editor.get(path)
        assert (page.status_code, AWAY in page.text) == (200, True), page.text
    edited = await editor.post(f"{kept}/draft{ACCOUNT}")
    assert (edited.status_code, "archive" in edited.text) == (503, True)
    sheet = await editor.get(f"{retracted}/retract{ACCOUNT}")
    assert (sheet.status_code, AWAY in sheet.text) == (200, True)
    done = await editor.post(f"{retracted}/retract{ACCOUNT}", revision=revision(editor), reason="A test.")
    assert "The article is retracted." in done.text
    archived.mount()
    assert TITLE in (await editor.get(f"{kept}{ACCOUNT}")).text
    assert (await editor.post(f"{kept}/draft{ACCOUNT}")).status_code == 200
    await own.http.aclose()
