"""Uploads: what is accepted, what remains of it, who owns it, and how it is served."""

import asyncio
import io

import pytest
from PIL import Image, ImageCms

from newswire.auth.credentials import Scope
from tests.ingest.media.conftest import MediaTest
from tests.ingest.media.images import (
    SECRET,
    animation,
    display_p3,
    encoded,
    exif,
    gradient,
    jpeg,
    press_profile,
    tagged,
)


async def opened(media: MediaTest, url: str) -> Image.Image:
    answer = await media.http.get(url)
    assert answer.status_code == 200, answer.text
    return Image.open(io.BytesIO(answer.content))


@pytest.mark.parametrize(
    ("format_", "suffix", "content_type"),
    [
        ("JPEG", "jpg", "image/jpeg"),
        ("PNG", "png", "image/png"),
        ("WEBP", "webp", "image/webp"),
        ("AVIF", "avif", "image/avif"),
        ("GIF", "gif", "image/gif"),
    ],
)
async def test_an_image_is_stored_without_metadata_and_served(
    media: MediaTest, publisher: dict[str, str], format_: str, suffix: str, content_type: str
) -> None:
    sent = tagged(format_)
    assert SECRET in sent
    added = await media.upload(publisher, sent, alt="A gradient", caption="Red to blue", credit="Ann Lee")
    assert (added["width"], added["height"], added["animated"]) == (400, 300, False)
    assert (added["alt"], added["caption"], added["credit"]) == ("A gradient", "Red to blue", "Ann Lee")
    assert added["url"] == f"https://news.example/media/{added['id']}/original.{suffix}"
    answer = await media.http.get(added["url"])
    assert answer.headers["content-type"] == content_type
    assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["content-security-policy"] == "default-src 'none'; sandbox"
    assert answer.headers["cross-origin-resource-policy"] == "cross-origin"
    assert SECRET not in answer.content
    assert b"Kilroy" not in answer.content
    image = Image.open(io.BytesIO(answer.content))
    assert image.format == format_
    assert not image.getexif()
    assert image.convert("RGB").getpixel((2, 150))[0] > 200  # type: ignore[index]


@pytest.mark.parametrize("format_", ["JPEG", "WEBP", "AVIF"])
async def test_an_image_is_turned_upright(media: MediaTest, publisher: dict[str, str], format_: str) -> None:
    added = await media.upload(publisher, encoded(gradient(400, 300), format_, exif=exif(6).tobytes()))
    assert (added["width"], added["height"]) == (300, 400)
    image = (await opened(media, added["url"])).convert("RGB")
    assert image.getpixel((150, 5))[0] > 200  # type: ignore[index]
    assert image.getpixel((150, 395))[2] > 200  # type: ignore[index]


async def test_a_colour_profile_is_kept_and_variants_are_srgb(media: MediaTest, publisher: dict[str, str]) -> None:
    added = await media.upload(publisher, jpeg(icc_profile=display_p3()))
    assert ImageCms.ImageCmsProfile(io.BytesIO((await opened(media, added["url"])).info["icc_profile"]))
    assert [each["width"] for each in added["variants"]] == [320]
    variant = await opened(media, added["variants"][0]["url"])
    assert variant.size == (320, 240)
    assert "icc_profile" not in variant.info


async def test_a_print_image_becomes_one_for_screens(media: MediaTest, publisher: dict[str, str]) -> None:
    added = await media.upload(publisher, encoded(gradient(400, 300).convert("CMYK"), "JPEG"))
    image = await opened(media, added["url"])
    assert image.mode == "RGB"
    assert image.getpixel((2, 150))[0] > 150  # type: ignore[index]


async def test_a_print_image_has_the_colours_of_its_profile(media: MediaTest, publisher: dict[str, str]) -> None:
    sent = encoded(gradient(400, 300).convert("CMYK"), "JPEG", icc_profile=press_profile(600_000))
    image = await opened(media, (await media.upload(publisher, sent))["url"])
    assert (image.mode, "icc_profile" in image.info) == ("RGB", False)
    red, green, blue = image.getpixel((2, 150))  # type: ignore[misc]
    assert green > 100 > blue > red


async def test_variants_of_a_sixteen_bit_image_are_as_bright(media: MediaTest, publisher: dict[str, str]) -> None:
    added = await media.upload(publisher, encoded(Image.new("I;16", (400, 40), 30_000), "PNG"))
    (variant,) = added["variants"]
    assert (await opened(media, variant["url"])).convert("L").getpixel((5, 5)) == pytest.approx(30_000 / 256, abs=3)


@pytest.mark.parametrize("format_", ["GIF", "WEBP", "PNG", "AVIF"])
async def test_an_animation_keeps_its_frames(media: MediaTest, publisher: dict[str, str], format_: str) -> None:
    added = await media.upload(publisher, animation(format_))
    assert added["animated"]
    assert added["variants"] == []
    image = await opened(media, added["url"])
    assert image.n_frames == 3  # type: ignore[attr-defined]
    image.load()
    assert image.info["duration"] in (80, 80.0)


@pytest.mark.parametrize("format_", ["WEBP", "PNG"])
async def test_an_animation_is_turned_upright(media: MediaTest, publisher: dict[str, str], format_: str) -> None:
    added = await media.upload(publisher, animation(format_, exif=exif(6).tobytes()))
    assert (added["width"], added["height"]) == (48, 64)
    image = await opened(media, added["url"])
    assert (image.size, image.n_frames, image.getexif().get(0x0112)) == ((48, 64), 3, None)  # type: ignore[attr-defined]


async def test_a_transparent_image_stays_transparent(media: MediaTest, publisher: dict[str, str]) -> None:
    image = gradient(400, 300, "RGBA")
    image.putalpha(0)
    added = await media.upload(publisher, encoded(image, "PNG"))
    address = added["variants"][0]["url"]
    assert (await opened(media, address)).getpixel((0, 0))[3] == 0  # type: ignore[index]
    assert (await opened(media, address.replace(".webp", ".png"))).mode == "RGBA"
    assert await media.status(address.replace(".webp", ".jpg")) == 404


async def test_the_same_image_is_stored_once_and_owned_by_each_account(
    media: MediaTest, publisher: dict[str, str]
) -> None:
    other = await media.ingest.key("Other Post", Scope.PUBLISH)
    first = await media.upload(publisher, alt="Mine")
    again = await media.http.post("/v1/media", params={"alt": "Later"}, content=jpeg(), headers=publisher)
    assert (again.status_code, again.json()["alt"]) == (200, "Mine")
    assert (await media.http.get(f"/v1/media/{first['id']}", headers=other)).status_code == 404
    assert (await media.http.patch(f"/v1/media/{first['id']}", json={"alt": "x"}, headers=other)).status_code == 404
    assert (await media.http.delete(f"/v1/media/{first['id']}", headers=other)).status_code == 404
    theirs = await media.upload(other, alt="Theirs")
    assert (theirs["id"], theirs["alt"]) == (first["id"], "Theirs")
    assert media.stored() == ["original.jpg"]
    assert (await media.http.delete(f"/v1/media/{first['id']}", headers=publisher)).status_code == 204
    assert await media.status(first["url"]) == 200
    assert (await media.http.delete(f"/v1/media/{first['id']}", headers=other)).status_code == 204
    assert await media.status(first["url"]) == 404
    while await media.upkeep.remove():
        pass
    assert media.stored() == []


async def test_concurrent_uploads_of_one_image_leave_one_file(media: MediaTest, publisher: dict[str, str]) -> None:
    sent = [media.upload(publisher) for _ in range(4)]
    assert len({added["id"] for added in await asyncio.gather(*sent)}) == 1
    while await media.upkeep.remove():
        pass
    assert media.stored() == ["original.jpg"]


async def test_a_form_is_accepted_as_well(media: MediaTest, publisher: dict[str, str]) -> None:
    files = {"file": ("../../etc/passwd", jpeg(), "text/html")}
    answer = await media.http.post("/v1/media", data={"alt": "Größe"}, files=files, headers=publisher)
    assert (answer.status_code, answer.json()["alt"]) == (201, "Größe")
    assert answer.headers["location"] == f"/v1/media/{answer.json()['id']}"
    missing = await media.http.post("/v1/media", data={"alt": "x"}, files={"other": b"1"}, headers=publisher)
    assert missing.status_code == 400
    assert missing.json()["errors"][0]["field"] == "file"
    unknown = await media.http.post("/v1/media", data={"alto": "x"}, files={"file": jpeg()}, headers=publisher)
    assert unknown.status_code == 422
    broken = {"Content-Type": "multipart/form-data; boundary=x", **publisher}
    for content in (
        b"",
        b"--x\r\n",
        b"--y\r\nA: b\r\n\r\n--y--",
        b"--x\r\nContent-Disposition: form-data; name=file\r\n\r\nabc",
    ):
        assert (await media.http.post("/v1/media", content=content, headers=broken)).status_code == 400, content


async def test_lists_texts_and_audit_entries(media: MediaTest, publisher: dict[str, str]) -> None:
    added = [await media.upload(publisher, jpeg(400 + at, 300)) for at in range(3)]
    first = (await media.http.get("/v1/media?limit=2", headers=publisher)).json()
    assert [each["id"] for each in first["media"]] == [added[2]["id"], added[1]["id"]]
    rest = (
        await media.http.get("/v1/media", params={"limit": 2, "cursor": first["next_cursor"]}, headers=publisher)
    ).json()
    assert ([each["id"] for each in rest["media"]], rest["next_cursor"]) == ([added[0]["id"]], None)
    path = f"/v1/media/{added[0]['id']}"
    changed = await media.http.patch(path, json={"alt": "New", "credit": "Ann"}, headers=publisher)
    assert (changed.json()["alt"], changed.json()["credit"]) == ("New", "Ann")
    assert (await media.http.patch(path, json={"credit": None}, headers=publisher)).json()["credit"] is None
    assert (await media.http.patch(path, json={"credit": "x" * 301}, headers=publisher)).status_code == 422
    assert (await media.http.delete(path, headers=publisher)).status_code == 204
    operator = await media.ingest.key("Operators", Scope.ADMIN)
    entries = (await media.http.get("/v1/audit-log", params={"target": added[0]["id"]}, headers=operator)).json()[
        "entries"
    ]
    assert [entry["act"] for entry in entries] == ["media.deleted", "media.changed", "media.changed", "media.added"]


async def test_only_publishers_upload(media: MediaTest) -> None:
    reader = await media.ingest.key("Reader", Scope.READ)
    assert (await media.http.post("/v1/media", content=jpeg())).status_code == 401
    assert (await media.http.post("/v1/media", content=jpeg(), headers=reader)).status_code == 403
    assert (await media.http.get("/v1/media", headers=reader)).status_code == 403


async def test_an_unchanged_image_is_not_sent_again(media: MediaTest, publisher: dict[str, str]) -> None:
    added = await media.upload(publisher)
    tag = (await media.http.get(added["url"])).headers["etag"]
    answer = await media.http.get(added["url"], headers={"If-None-Match": tag})
    assert (answer.status_code, answer.content) == (304, b"")
    head = await media.http.head(added["url"])
    assert (head.status_code, head.content) == (200, b"")
    assert int(head.headers["content-length"]) == added["size"]


async def test_only_addresses_of_images_are_served(media: MediaTest, publisher: dict[str, str]) -> None:
    added = await media.upload(publisher)
    folder = f"/media/{added['id']}"
    for name in (
        "original.png", "320.gif", "321.webp", "640.webp", "0320.webp", "1.webp", "original", "original.jpg/",
        ".original.jpg", "..%2f..%2foriginal.jpg", "%2e%2e/original.jpg", "original.jpg%00.png", "ORIGINAL.JPG", "320.webp.webp",
    ):  # fmt: skip
        assert await media.status(f"{folder}/{name}") == 404, name
    for path in (
        "/media/../original.jpg",
        f"/media/{added['id'].upper()}/original.jpg",
        f"/media/{'0' * 64}/original.jpg",
    ):
        assert await media.status(path) == 404, path
