"""Sound images with parts that decoders or encoders stumble over: each is accepted, and looks and plays as before."""

import io
import random
import struct
from collections.abc import Iterator
from typing import Any

import orjson
import pytest
from PIL import Image, ImageSequence, PngImagePlugin

from newswire.concurrency.worker_process import WorkerProcess
from newswire_ingest.media.image_worker import MEMORY_BYTES
from tests.ingest.media.images import animation, encoded, exif, gradient, jpeg, png_chunk

PNG_HEAD_BYTES = 33
TURNED = b"\x12\x01\x03\0\x01\0\0\0\x06\0\0\0"
"""The orientation 6, as an entry of EXIF data."""


@pytest.fixture(scope="module")
def worker() -> Iterator[WorkerProcess]:
    started = WorkerProcess("newswire_ingest.media.decoding:answer", 10.0, MEMORY_BYTES)
    yield started
    started.close()


def cleaned(worker: WorkerProcess, content: bytes) -> tuple[dict[str, Any], Image.Image]:
    head, _, clean = worker.call(b"{}\n" + content).partition(b"\n")
    described = orjson.loads(head)
    assert "problem" not in described, described
    return described, Image.open(io.BytesIO(clean))


def exif_data(*entries: bytes) -> bytes:
    return b"Exif\0\0II*\0\x08\0\0\0" + struct.pack("<H", len(entries)) + b"".join(entries) + bytes(4)


def with_segment(content: bytes, segment: bytes) -> bytes:
    return content[:2] + b"\xff\xe1" + struct.pack(">H", len(segment) + 2) + segment + content[2:]


@pytest.mark.parametrize(
    ("data", "size"),
    [
        (exif_data(TURNED, b"\x28\x01\x07\0\x05\0\0\0\x04\0\0\0"), (80, 120)),
        (exif_data(TURNED, b"\x10\x01\x0a\0\x01\0\0\0\x08\0\0\0"), (80, 120)),
        (exif_data(TURNED, b"\x25\x88\x04\0\x01\0\0\0\xff\xff\0\0"), (80, 120)),
        (b"Exif\0\0" + exif(6).tobytes(), (80, 120)),
        (exif(6).tobytes()[:16], (120, 80)),
        (b"Exif\0\0not a TIFF file", (120, 80)),
    ],
)
def test_exif_data_that_cannot_be_written_again(worker: WorkerProcess, data: bytes, size: tuple[int, int]) -> None:
    assert cleaned(worker, with_segment(jpeg(120, 80), data))[1].size == size


@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("missing", [1, 2])
def test_a_jpeg_without_the_marker_of_its_end(worker: WorkerProcess, missing: int, progressive: bool) -> None:
    for sent in (gradient(400, 300), gradient(123, 77).convert("L"), gradient(64, 800).convert("CMYK")):
        whole = encoded(sent, "JPEG", progressive=progressive)
        described, clean = cleaned(worker, whole[:-missing])
        assert (described["width"], described["height"]) == clean.size == sent.size
        assert clean.tobytes() == cleaned(worker, whole)[1].tobytes()


@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("missing", [4, 30, 300])
def test_a_jpeg_that_lacks_more_than_the_marker_of_its_end(
    worker: WorkerProcess, missing: int, progressive: bool
) -> None:
    whole = encoded(gradient(400, 300), "JPEG", progressive=progressive)
    assert b"damaged or incomplete" in worker.call(b"{}\n" + whole[:-missing])


@pytest.mark.parametrize("format_", ["PNG", "WEBP"])
def test_exif_data_that_is_none(worker: WorkerProcess, format_: str) -> None:
    assert cleaned(worker, encoded(gradient(120, 80), format_, exif=b"Exif\0\0none"))[1].size == (120, 80)


def test_noise_in_the_best_quality(worker: WorkerProcess) -> None:
    noise = Image.frombytes("RGB", (200, 200), random.Random(1).randbytes(200 * 200 * 3))
    sent = encoded(noise, "JPEG", quality=100, subsampling=0)
    clean = cleaned(worker, sent)[1].convert("RGB").tobytes()
    before = Image.open(io.BytesIO(sent)).convert("RGB").tobytes()
    assert max(abs(a - b) for a, b in zip(before, clean, strict=True)) < 8


def test_a_png_with_much_or_damaged_text(worker: WorkerProcess) -> None:
    texts = PngImagePlugin.PngInfo()
    texts.add_itxt("XML:com.adobe.xmp", "x" * 2_000_000, zip=True)
    png = encoded(gradient(40, 30), "PNG", pnginfo=texts)
    damaged = png_chunk(b"tEXt", b"Author\0Kilroy")[:-4] + bytes(4)
    profile = png_chunk(b"iCCP", b"press\0\0" + random.Random(1).randbytes(70_000))
    sent = png[:PNG_HEAD_BYTES] + damaged + profile + png[PNG_HEAD_BYTES:]
    clean = cleaned(worker, sent)[1]
    assert clean.tobytes() == gradient(40, 30).tobytes()
    assert not clean.info


@pytest.mark.parametrize(("loop", "stored"), [(None, None), (0, 0), (3, 3)])
def test_a_gif_is_played_as_often_as_before(worker: WorkerProcess, loop: int | None, stored: int | None) -> None:
    _, clean = cleaned(worker, animation("GIF", loop=loop))
    assert clean.info.get("loop") == stored


def test_a_png_whose_first_image_is_no_frame(worker: WorkerProcess) -> None:
    described, clean = cleaned(worker, animation("PNG", frames=4, default_image=True, duration=[30, 20, 10]))
    assert described["frames"] == clean.n_frames == 3  # type: ignore[attr-defined]
    assert [_duration(clean, frame) for frame in range(3)] == [30, 20, 10]


@pytest.mark.parametrize(("format_", "disposal"), [("GIF", 1), ("GIF", 2), ("GIF", 3), ("PNG", 1), ("PNG", 2)])
def test_frames_do_not_show_through_the_next_ones(worker: WorkerProcess, format_: str, disposal: int) -> None:
    frames = [Image.new("RGBA", (40, 20)) for _ in range(4)]
    for at, frame in enumerate(frames):
        frame.paste((200, 10, 10, 255), (at * 10, 5, at * 10 + 9, 15))
    sent = encoded(frames[0], format_, save_all=True, append_images=frames[1:], disposal=disposal, duration=50, loop=0)
    assert _seen(cleaned(worker, sent)[1]) == _seen(Image.open(io.BytesIO(sent)))


def _seen(image: Image.Image) -> list[bytes]:
    """Return the frames on a white page."""
    found = []
    for frame in ImageSequence.Iterator(image):
        page = Image.new("RGBA", frame.size, "white")
        page.alpha_composite(frame.convert("RGBA"))
        found.append(page.tobytes())
    return found


def _duration(image: Image.Image, frame: int) -> float:
    image.seek(frame)
    image.load()
    return float(image.info["duration"])
