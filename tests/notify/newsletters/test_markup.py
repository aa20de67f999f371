"""The public pages of newsletters and the HTML of mails are valid."""

from pathlib import Path
from typing import Any

import pytest

from tests.markup import markup_errors
from tests.notify.newsletters.conftest import House, link_in

pytestmark = pytest.mark.slow

EVIL = '<b>A & "b"</b>'
NEWSLETTERS: dict[str, dict[str, Any]] = {
    "ferries": {"brand": {"logo_url": "https://x.example/a.png", "colour": "#a3221f", "postal_address": "Quay 1 & 2"}},
    "evil": {"name": "A & <b>", "description": EVIL, "language": "de"},
    "arabic": {"name": "أخبار", "description": "كل صباح", "language": "ar"},
}


async def test_pages_and_mails_are_valid_html(house: House, tmp_path: Path) -> None:
    house.set_time("2026-11-26T12:00:00+01:00")
    shared = {"cadences": ["instant", "daily", "weekly"], "public_archive": True}
    made = {slug: await house.create(**{**shared, "slug": slug, **more}) for slug, more in NEWSLETTERS.items()}
    found: dict[str, str] = {}

    async def read(name: str, path: str) -> None:
        found[name] = (await house.http.get(path, headers={"Accept": "text/html"})).text

    await read("list", "/newsletters")
    await read("unknown", "/newsletters/none")
    for slug, newsletter in made.items():
        await read(f"{slug}: form", f"/newsletters/{slug}")
        await read(f"{slug}: bad link", f"/newsletters/{slug}/confirm/x")
        found[f"{slug}: wrong address"] = (await house.sign_up(EVIL, slug=slug, topics=["none"])).text
        found[f"{slug}: sent"] = (await house.sign_up("reader@example.org", slug=slug)).text
        [asked] = await house.send()
        found[f"{slug}: mail of confirmation"] = asked.part("html")
        confirmation = link_in(asked, "confirm")
        await read(f"{slug}: confirmation", confirmation)
        found[f"{slug}: confirmed"] = (await house.http.post(confirmation)).text
        await house.reader(newsletter, "daily@example.org", "daily", hour=7, zone="Europe/Berlin")
    for number in range(3):
        await house.desk.publish(f"a{number}", title=f"No {number} {EVIL}", text=EVIL, summary=EVIL, language="ar")
    for mail in await house.send():
        found[f"alert {mail.message['Subject']}"] = mail.part("html")
    house.set_time("2026-11-27T07:00:00+01:00")
    for mail in await house.send():
        found[f"digest {mail.message['Subject']}"] = mail.part("html")
        await read(f"preferences {mail.message['Subject']}", _path(mail.text, "preferences"))
        await read(f"unsubscribe {mail.message['Subject']}", _path(mail.text, "unsubscribe"))
    for slug in made:
        await read(f"{slug}: archive", f"/newsletters/{slug}/archive")
    assert len(found) > 30
    assert markup_errors(found, tmp_path) == []


def _path(text: str, kind: str) -> str:
    at = text.index(f"/{kind}/")
    start = text.rindex("/newsletters/", 0, at)
    return text[start:].split()[0]
