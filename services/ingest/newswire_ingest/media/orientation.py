"""Turns images as their EXIF data says, and reads nothing else of it.

Cameras and editors write tags that Pillow cannot write again, which `ImageOps.exif_transpose` would do; and all metadata is dropped
in any case. So a tag that cannot be read costs an image its orientation at most, never its acceptance.
"""

from typing import Final

from PIL import Image

_TAG: Final = 0x0112
_TURNS: Final = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def turn_of(image: Image.Image) -> Image.Transpose | None:
    """Return how an image has to be turned to be upright; None if it is."""
    try:
        return _TURNS.get(image.getexif().get(_TAG, 1))
    except Exception:  # noqa: BLE001 (Pillow raises almost anything for damaged EXIF data)
        return None


def turned(image: Image.Image, turn: Image.Transpose | None) -> Image.Image:
    """Return a copy of an image, turned."""
    return image.copy() if turn is None else image.transpose(turn)
