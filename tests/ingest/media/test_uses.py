"""Which images articles and drafts use, and what a retraction and the passing of time remove."""

from datetime import timedelta
from typing import Any

import httpx
import pytest

from newswire.auth.accounts import create_account
from newswire.auth.credentials import Scope
from newswire.object_storage.folder import FolderStorage
from newswire.observability.audit import COMMAND_LINE, SYSTEM, Act, read_page
from newswire.timestamps import utc_now
from newswire.users.roles import Role
from newswire.users.service import Client, UserService
from newswire_ingest.media.service import MediaService
from tests.ingest.media.conftest import MediaTest
from tests.ingest.media.images import jpeg


def article(*urls: str, lead: str | None = None, **others: Any) -> dict[str, Any]:
    body = "".join(f'<p>Text</p><img src="{url}" alt="x">' for url in urls)
    return {"title": "Ferries", "body": body or "<p>x</p>"} | ({"image": {"url": lead}} if lead else {}) | others


async def publish(media: MediaTest, key: dict[str, str], sent: dict[str, Any]) -> Any:
    answer = await media.http.post("/v1/articles", json=sent, headers=key)
    assert answer.status_code == 201, answer.text
    return answer.json()


async def save_draft(media: MediaTest, key: dict[str, str], url: str) -> Any:
    sent = {"content": {"title": "A draft", "body": f'<img src="{url}">'}}
    answer = await media.http.post("/v1/drafts", json=sent, headers=key)
    assert answer.status_code == 201, answer.text
    return answer.json()


async def everything_removed(media: MediaTest) -> None:
    while await media.upkeep.remove():
        pass


def service_of(media: MediaTest) -> MediaService:
    settings = media.ingest.settings
    storage = FolderStorage(media.folder)
    return MediaService(
        media.ingest.redis, media.ingest.keys, storage, settings.site, settings.media_max_bytes, utc_now
    )


async def test_an_article_and_its_event_say_what_pages_need_of_its_images(
    media: MediaTest, publisher: dict[str, str]
) -> None:
    lead, second = await media.upload(publisher, jpeg(1000, 500)), await media.upload(publisher)
    made = await publish(media, publisher, article(second["url"], second["url"], lead=lead["url"]))
    assert made["media"] == [
        {"url": second["url"], "width": 400, "height": 300, "widths": [320]},
        {"url": lead["url"], "width": 1000, "height": 500, "widths": [320, 640, 960]},
    ]
    event = (await media.ingest.events())[-1]
    assert event["data"]["media"] == made["media"]
    assert (await media.http.get(f"/v1/media/{lead['id']}", headers=publisher)).json()["uses"] == 1
    assert "media" not in await publish(media, publisher, article("https://elsewhere.example/media/x/original.jpg"))
    refused = await media.http.delete(f"/v1/media/{lead['id']}", headers=publisher)
    assert (refused.status_code, refused.json()["type"]) == (409, "urn:newswire:problem:media-in-use")
    sent = article(second["url"], second["url"], lead=lead["url"])
    same = await media.http.put(f"/v1/articles/{made['id']}", json=sent, headers=publisher)
    assert same.json()["version"] == 1


async def test_a_retraction_removes_what_only_that_article_used(media: MediaTest, publisher: dict[str, str]) -> None:
    own, shared = await media.upload(publisher, jpeg(700, 10)), await media.upload(publisher, jpeg(700, 20))
    drafted, earlier = await media.upload(publisher, jpeg(700, 30)), await media.upload(publisher, jpeg(700, 40))
    first = await publish(media, publisher, article(own["url"], shared["url"], drafted["url"], earlier["url"]))
    await publish(media, publisher, article(lead=shared["url"]))
    draft = await save_draft(media, publisher, drafted["url"])
    changed = article(own["url"], shared["url"], drafted["url"], title="Changed")
    assert (await media.http.put(f"/v1/articles/{first['id']}", json=changed, headers=publisher)).json()["version"] == 2
    variant = own["variants"][0]["url"]
    assert await media.status(variant) == 200
    assert (await media.http.delete(f"/v1/articles/{first['id']}", headers=publisher)).status_code == 200
    for gone in (own["url"], variant, earlier["url"], own["variants"][1]["url"]):
        assert await media.status(gone) == 404, gone
    assert [await media.status(each["url"]) for each in (shared, drafted)] == [200, 200]
    await everything_removed(media)
    assert media.stored() == ["original.jpg", "original.jpg"]
    assert (await media.http.delete(f"/v1/media/{drafted['id']}", headers=publisher)).status_code == 409
    await media.http.delete(f"/v1/drafts/{draft['id']}", headers=publisher)
    assert (await media.http.get(f"/v1/media/{drafted['id']}", headers=publisher)).json()["uses"] == 0
    await media.http.post(f"/v1/drafts/{draft['id']}/recover", headers=publisher)
    assert (await media.http.get(f"/v1/media/{drafted['id']}", headers=publisher)).json()["uses"] == 1

    # Publishing the article again brings nothing back; a new upload does.
    again = await media.http.put(f"/v1/articles/{first['id']}", json=article(own["url"]), headers=publisher)
    assert (again.json()["version"], again.json().get("media")) == (3, None)
    assert await media.status(own["url"]) == 404
    assert (await media.upload(publisher, jpeg(700, 10)))["url"] == own["url"]
    assert await media.status(own["url"]) == 200
    await everything_removed(media)
    assert await media.status(own["url"]) == 200


async def test_an_account_neither_keeps_nor_removes_the_images_of_another(
    media: MediaTest, publisher: dict[str, str]
) -> None:
    other = await media.ingest.key("Other Post", Scope.PUBLISH)
    added = await media.upload(publisher)
    theirs = await publish(media, other, article(added["url"]))
    assert "media" not in theirs
    await media.http.delete(f"/v1/articles/{theirs['id']}", headers=other)
    assert await media.status(added["url"]) == 200
    await media.upload(other)
    mine = await publish(media, publisher, article(added["url"]))
    await media.http.delete(f"/v1/articles/{mine['id']}", headers=publisher)
    assert (await media.http.get(f"/v1/media/{added['id']}", headers=publisher)).status_code == 404
    assert await media.status(added["url"]) == 200, "the other account uploaded it too"


async def test_a_scheduled_article_holds_its_images_until_it_is_cancelled(
    media: MediaTest, publisher: dict[str, str]
) -> None:
    added = await media.upload(publisher)
    later = (utc_now() + timedelta(days=60)).isoformat()
    planned = await publish(media, publisher, article(added["url"], embargo_until=later))
    upkeep = media.upkeep
    upkeep._clock = lambda: utc_now() + timedelta(days=31)
    assert not await upkeep.expire()
    assert await media.status(added["url"]) == 200
    assert (await media.http.delete(f"/v1/articles/{planned['id']}", headers=publisher)).json()["status"] == "cancelled"
    assert await media.status(added["url"]) == 200
    await upkeep.expire()
    assert await media.status(added["url"]) == 404


async def test_unused_images_are_removed_after_a_time(media: MediaTest, publisher: dict[str, str]) -> None:
    unused, used = await media.upload(publisher), await media.upload(publisher, jpeg(500, 50))
    await publish(media, publisher, article(used["url"]))
    await media.upkeep.expire()
    assert await media.status(unused["url"]) == 200
    media.upkeep._clock = lambda: utc_now() + timedelta(days=31)
    await media.upkeep.expire()
    assert [await media.status(each["url"]) for each in (unused, used)] == [404, 200]
    newest = (await read_page(media.ingest.redis, media.ingest.keys, limit=1)).entries[0]
    assert (newest.act, newest.actor, newest.target, newest.details["reason"]) == (
        Act.MEDIA_DELETED,
        SYSTEM,
        unused["id"],
        "unused",
    )


async def test_the_images_of_an_account_have_a_space(media: MediaTest, publisher: dict[str, str]) -> None:
    small = jpeg(200, 50)
    ingest = media.ingest.with_settings(media_dir=media.folder, media_space_bytes=3 * len(small))
    try:

        async def send(content: bytes, key: dict[str, str]) -> httpx.Response:
            return await ingest.http.post("/v1/media", content=content, headers=key)

        first = await send(small, publisher)
        assert first.status_code == 201
        assert (await send(small, publisher)).status_code == 200
        full = await send(jpeg(2000, 1500), publisher)
        assert (full.status_code, full.json()["type"].rpartition(":")[2]) == (409, "media-space-used-up")
        other = await ingest.key("Other Post", Scope.PUBLISH)
        assert (await send(small, other)).status_code == 201
        assert (await ingest.http.delete(f"/v1/media/{first.json()['id']}", headers=publisher)).status_code == 204
        assert (await send(jpeg(210, 50), publisher)).status_code == 201
    finally:
        await ingest.http.aclose()


async def test_users_see_the_images_of_their_accounts_where_reading_is_not_public(
    media: MediaTest, publisher: dict[str, str]
) -> None:
    added = await media.upload(publisher)
    path = added["url"].removeprefix("https://news.example")
    private = media.ingest.with_settings(media_dir=media.folder, public_read=False)
    users = UserService(private.redis, private.keys)
    try:
        assert (await private.http.get(path)).status_code == 401
        for account, role, status in (
            ("Harbour Gazette", Role.WRITER, 200),
            ("Harbour Gazette", Role.SUBSCRIBER, 401),
            ("Other Post", Role.WRITER, 401),
        ):
            await create_account(private.redis, private.keys, account)
            email = f"{role}@{account.split()[0].lower()}.example"
            user = await users.create(email, "Ida", {account: frozenset({role})}, by=COMMAND_LINE)
            started = await users.start_session(user, Client("192.0.2.7", "192.0.2.7", "Firefox"), method="link")
            for name in ("newswire-session", "__Host-newswire-session"):
                private.http.cookies.set(name, started.token)
            answer = await private.http.get(path)
            assert answer.status_code == status, (account, role)
            assert status != 200 or answer.headers["cache-control"].startswith("private")
    finally:
        await private.http.aclose()


@pytest.mark.parametrize("interrupted", [False, True])
async def test_variants_are_made_in_the_background(
    media: MediaTest, publisher: dict[str, str], interrupted: bool
) -> None:
    added = await media.upload(publisher, jpeg(1000, 500))
    if interrupted:  # a process claimed the work and was killed
        assert await media.upkeep._records.claim("variants", utc_now(), 1, 1) == [added["id"]]
        media.upkeep._clock = lambda: utc_now() + timedelta(minutes=3)
    assert await media.upkeep.make_variants()
    assert not await media.upkeep.make_variants()
    assert media.stored() == ["320.webp", "640.webp", "960.webp", "original.jpg"]


async def test_an_upload_that_was_not_finished_is_cleared(media: MediaTest, publisher: dict[str, str]) -> None:
    service = service_of(media)

    async def no_record(*_: Any, **__: Any) -> Any:
        raise ConnectionError("killed here")

    add, service.records.add = service.records.add, no_record  # type: ignore[method-assign]

    async def stream() -> Any:
        yield jpeg()

    with pytest.raises(ConnectionError):
        await service.add("Harbour Gazette", COMMAND_LINE, stream())
    assert media.stored() == ["original.jpg"]
    await everything_removed(media)
    assert media.stored() == ["original.jpg"], "its upload may still be going on"
    media.upkeep._clock = lambda: utc_now() + timedelta(hours=2)
    await everything_removed(media)
    assert media.stored() == []
    service.records.add = add  # type: ignore[method-assign]
    assert (await service.add("Harbour Gazette", COMMAND_LINE, stream(), alt="A")).alt == "A"


async def test_the_draft_of_a_retracted_article_does_not_keep_its_images(
    media: MediaTest, publisher: dict[str, str]
) -> None:
    added = await media.upload(publisher)
    draft = await save_draft(media, publisher, added["url"])
    acts = f"/v1/drafts/{draft['id']}"
    out = await media.http.post(f"{acts}/publish", json={}, headers=publisher | {"If-Match": '"1"'})
    assert out.status_code in (200, 201), out.text
    assert (await media.http.get(f"/v1/media/{added['id']}", headers=publisher)).json()["uses"] == 2
    await media.http.delete(f"/v1/articles/{out.json()['article']['id']}", headers=publisher)
    assert await media.status(added["url"]) == 404
