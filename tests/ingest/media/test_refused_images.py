"""Hostile and unsuitable files are refused with a remedy, at a bounded cost."""

import struct
import zlib

import pytest
from PIL import Image

from tests.ingest.media.conftest import MediaTest
from tests.ingest.media.images import animation, encoded, gradient, jpeg, png_chunk, png_of_size

SVG = b'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>'


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "not of an accepted format"),
        (b"GIF89a", "damaged|not of an accepted"),
        (SVG, "SVG document or a web page: export it as PNG"),
        (b"<!DOCTYPE html><html></html>", "web page"),
        (encoded(gradient(9, 9), "TIFF"), "TIFF image: export it as JPEG or PNG"),
        (encoded(gradient(9, 9), "BMP"), "BMP image"),
        (b"8BPS\0\1" + b"\0" * 20, "Photoshop"),
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "HEIC image: export it as JPEG"),
        (b"%PDF-1.7\n", "PDF"),
        (jpeg()[:-300], "damaged or incomplete"),
        (encoded(gradient(400, 300), "PNG")[:-100], "damaged or incomplete"),
        (encoded(gradient(400, 300), "WEBP")[:-100], "damaged or incomplete|not of an accepted"),
        (encoded(gradient(400, 300), "AVIF")[:-100], "damaged or incomplete|not of an accepted"),
        (png_of_size(65_535, 1), "65,535 × 1 pixels: scale it down: each side may have 16,383"),
        (png_of_size(16_000, 16_000), "256 megapixels: scale it down: 40 megapixels"),
        (png_of_size(0, 10), "not of an accepted format|damaged|no pixels"),
        (jpeg()[:3] + jpeg(65_000, 1)[3:], "65,000 × 1 pixels"),
        (animation("WEBP", 600, (4, 4)), "600 frames: shorten it: 500 frames"),
        (animation("GIF", 501, (4, 4)), "501 frames"),
        # A colour profile of 16 MiB in 16 KiB.
        (png_of_size(9, 9, extra=png_chunk(b"iCCP", b"a\0\0" + zlib.compress(b"a" * 2**24))), "damaged or incomplete"),
    ],
)  # fmt: skip
async def test_what_is_no_acceptable_image_is_refused_with_a_remedy(
    media: MediaTest, publisher: dict[str, str], content: bytes, told: str
) -> None:
    problem = await media.refused(publisher, content)
    assert any(part in problem for part in told.split("|")), problem
    assert media.stored() == []


async def test_many_bytes_are_refused_before_they_are_decoded(media: MediaTest, publisher: dict[str, str]) -> None:
    limit = media.ingest.settings.media_max_bytes
    assert "at most 20,971,520 bytes" in await media.refused(publisher, b"x" * (limit + 1), 413)
    files = {"file": b"x" * (limit + 1)}
    assert (await media.http.post("/v1/media", files=files, headers=publisher)).status_code == 413


async def test_a_decoder_that_crashes_harms_nothing(
    media: MediaTest, publisher: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from newswire.concurrency.worker_process import WorkerProcess
    from newswire_ingest.media import image_worker

    dying = WorkerProcess("os:_exit", 1.0, image_worker.MEMORY_BYTES)
    monkeypatch.setattr(image_worker, "_process", dying)
    assert "to decode: export it again" in await media.refused(publisher, jpeg())
    monkeypatch.undo()
    assert (await media.upload(publisher))["width"] == 400


async def test_what_is_appended_to_an_image_is_not_stored(media: MediaTest, publisher: dict[str, str]) -> None:
    script = b"<script>alert(document.domain)</script>PK\x03\x04"
    for content in (
        jpeg() + script,
        encoded(gradient(400, 300), "PNG") + script,
        encoded(gradient(40, 30), "GIF") + script,
    ):
        added = await media.upload(publisher, content)
        assert script not in (await media.http.get(added["url"])).content


async def test_a_broken_colour_profile_is_dropped(media: MediaTest, publisher: dict[str, str]) -> None:
    bomb = png_of_size(20, 20, content=zlib.compress((b"\0" + b"\1\2\3" * 20) * 20))
    profile = png_chunk(b"iCCP", b"p\0\0" + zlib.compress(b"\0" * 500_000))
    added = await media.upload(publisher, bomb[:33] + profile + bomb[33:])
    assert b"iCCP" not in (await media.http.get(added["url"])).content


async def test_a_huge_comment_costs_nothing(media: MediaTest, publisher: dict[str, str]) -> None:
    plain = jpeg()
    comment = b"\xff\xe1" + struct.pack(">H", 65_535) + b"Exif\0\0" + b"II*\0" + b"\xff" * 65_523
    added = await media.upload(publisher, plain[:2] + comment * 200 + plain[2:])
    assert added["size"] < 20_000


async def test_sixteen_bit_and_bilevel_images_are_accepted(media: MediaTest, publisher: dict[str, str]) -> None:
    for image in (
        Image.new("I;16", (400, 40), 30_000),
        Image.new("1", (400, 40), 1),
        gradient(400, 40, "P"),
        gradient(400, 40, "LA"),
    ):
        added = await media.upload(publisher, encoded(image, "PNG"))
        assert await media.status(added["variants"][0]["url"]) == 200, image.mode
