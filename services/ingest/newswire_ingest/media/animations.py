"""Encodes animations again, frame by frame."""

import io
from typing import Any, Final

from PIL import Image, ImageSequence, PngImagePlugin

from newswire_ingest.media.models import ImageFormat
from newswire_ingest.media.orientation import turn_of, turned

_OPTIONS: Final[dict[ImageFormat, dict[str, Any]]] = {
    ImageFormat.GIF: {"comment": b"", "optimize": False},
    ImageFormat.PNG: {"exif": b"", "icc_profile": None, "disposal": PngImagePlugin.Disposal.OP_NONE, "blend": 0},
    ImageFormat.WEBP: {"quality": 80, "method": 2, "icc_profile": b"", "exif": b"", "xmp": b""},
    ImageFormat.AVIF: {"quality": 75, "speed": 10, "icc_profile": b"", "exif": b"", "xmp": b""},
}
_NAMES: Final = {
    ImageFormat.GIF: "GIF",
    ImageFormat.PNG: "PNG",
    ImageFormat.WEBP: "WEBP",
    ImageFormat.AVIF: "AVIF",
}

_CLEAR: Final = 2
"""How a GIF says that a frame is cleared; 3: that what was before it is shown again."""


def encode_animation(image: Image.Image, format_: ImageFormat) -> tuple[Image.Image, bytes]:
    """Return the first frame, upright, and the encoded animation."""
    written = io.BytesIO()
    turn, poster = turn_of(image), _has_poster(image)
    durations, clears = _played(image)
    timing: dict[str, Any] = {"duration": durations[poster:]}
    if clears and format_ is ImageFormat.GIF:  # else a frame would show through the transparent parts of the next ones
        timing["disposal"] = _CLEAR
    if "loop" in image.info or format_ is not ImageFormat.GIF:  # a GIF that does not say so is played once
        timing["loop"] = image.info.get("loop", 0)
    first, *others = [image] if turn is None and not poster else _frames(image, turn)[poster:]
    first.save(written, _NAMES[format_], save_all=True, append_images=others, **timing, **_OPTIONS[format_])
    image.seek(0)
    return first, written.getvalue()


def frame_count(image: Image.Image) -> int:
    """Return how many frames are played."""
    return int(getattr(image, "n_frames", 1)) - _has_poster(image)


def _has_poster(image: Image.Image) -> bool:
    """Return whether the first image is none of the frames: a PNG can have one for programs that do not play animations."""
    return bool(image.info.get("default_image"))


def _frames(image: Image.Image, turn: Image.Transpose | None) -> list[Image.Image]:
    frames = []
    for frame in ImageSequence.Iterator(image):
        upright = turned(frame, turn)
        upright.info = {}
        frames.append(upright)
    return frames


def _played(image: Image.Image) -> tuple[list[int], bool]:
    """Return for how many milliseconds each image is shown, and whether a GIF clears one before the next."""
    found, clears = list[int](), False
    for frame in range(int(image.n_frames)):  # type: ignore[attr-defined]
        image.seek(frame)
        image.load()
        found.append(int(image.info.get("duration", 100)))
        clears |= getattr(image, "disposal_method", 0) >= _CLEAR
    image.seek(0)
    return found, clears
