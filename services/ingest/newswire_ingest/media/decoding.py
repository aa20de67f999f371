"""Decodes images with Pillow and encodes them again. Runs in a worker process, which is killed if it takes too long or crashes.

Nothing of an upload is stored as it was sent: pixels are encoded again, so that neither metadata (EXIF, XMP, IPTC, comments, the
place where a picture was taken) nor anything that was appended remains. A colour profile is kept.
"""

import io
import warnings
from collections.abc import Callable
from typing import Any, Final

import orjson
from PIL import Image, ImageCms, ImageFile, JpegImagePlugin, UnidentifiedImageError

from newswire_ingest.media.animations import encode_animation, frame_count
from newswire_ingest.media.jpeg_ends import decode_without_end
from newswire_ingest.media.models import ImageFormat
from newswire_ingest.media.orientation import turn_of, turned
from newswire_ingest.media.png_chunks import without_metadata

MAX_PIXELS: Final = 40_000_000
MAX_SIDE: Final = 16_383
"""In pixels: the maximum of WebP."""
MAX_FRAMES: Final = 500
MAX_ANIMATED_PIXELS: Final = 60_000_000
"""Pixels of all frames together."""
MAX_PROFILE_BYTES: Final = 64 * 1024
"""Of a colour profile that is kept; pixels with a larger one are taken as sRGB."""
MAX_PRINT_PROFILE_BYTES: Final = 4 * 1024 * 1024
"""Of the profile of a CMYK image, which converts it and is not kept. Those of printers have 500 KiB to 3 MiB."""
_NO_METADATA: Final[dict[str, Any]] = {"exif": b"", "xmp": b""}
_FORMATS: Final = {
    "JPEG": ImageFormat.JPEG,
    "MPO": ImageFormat.JPEG,
    "PNG": ImageFormat.PNG,
    "WEBP": ImageFormat.WEBP,
    "AVIF": ImageFormat.AVIF,
    "GIF": ImageFormat.GIF,
}
_OPENED: Final = ("JPEG", "PNG", "WEBP", "AVIF", "GIF")
_ACCEPTED: Final = "send a JPEG, PNG, WebP, AVIF or GIF image"
_HEIC_BRANDS: Final = (b"heic", b"heix", b"hevc", b"hevx", b"mif1", b"msf1", b"heim", b"heis")
_KNOWN: Final[tuple[tuple[str, str, Callable[[bytes], bool]], ...]] = (
    (
        "is an SVG document or a web page",
        "export it as PNG",
        lambda head: head.lstrip()[:5].lower().startswith((b"<svg", b"<?xml", b"<!doc", b"<html")),
    ),
    ("is a TIFF image", "export it as JPEG or PNG", lambda head: head[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")),
    ("is a Photoshop document", "export it as JPEG or PNG", lambda head: head[:4] == b"8BPS"),
    (
        "is a HEIC image",
        "export it as JPEG",
        lambda head: head[4:8] == b"ftyp" and head[8:12] in _HEIC_BRANDS,
    ),
    ("is a JPEG 2000 image", "export it as JPEG", lambda head: head[4:12] == b"jP  \r\n\x87\n"),
    ("is a JPEG XL image", "export it as JPEG", lambda head: head[:2] == b"\xff\n" or head[4:8] == b"JXL "),
    ("is a PDF document", "export it as JPEG or PNG", lambda head: head[:5] == b"%PDF-"),
    ("is a BMP image", "export it as PNG", lambda head: head[:2] == b"BM"),
)

Image.MAX_IMAGE_PIXELS = None  # sizes are checked below, before anything is decoded
ImageFile.LOAD_TRUNCATED_IMAGES = False
warnings.simplefilter("ignore")


class _RefusedError(Exception):
    def __init__(self, problem: str, fix: str) -> None:
        super().__init__(problem)
        self.answer = {"problem": problem, "fix": fix}


def answer(request: bytes) -> bytes:
    """Handle a request of `newswire_ingest.media.image_worker`: a line of JSON, then the bytes of an image."""
    head, _, content = request.partition(b"\n")
    wanted = orjson.loads(head)
    try:
        if "width" in wanted:
            return b"{}\n" + _resize(content, wanted["width"], ImageFormat(wanted["format"]))
        described, clean = _clean(content)
    except _RefusedError as error:
        return orjson.dumps(error.answer) + b"\n"
    except MemoryError:
        refused = {"problem": "needs more memory to decode than is allowed", "fix": "scale it down"}
        return orjson.dumps(refused) + b"\n"
    except Exception as error:  # noqa: BLE001 (decoders raise almost anything for damaged files)
        refused = {
            "problem": f"is damaged or incomplete ({_reason(error)})",
            "fix": "export it again, then send it again",
        }
        return orjson.dumps(refused) + b"\n"
    return orjson.dumps(described) + b"\n" + clean


def _reason(error: Exception) -> str:
    text = " ".join(str(error).split())
    return "".join(sign for sign in text if sign.isprintable())[:120] or type(error).__name__


def _open(content: bytes) -> Image.Image:
    try:
        image = Image.open(io.BytesIO(without_metadata(content, MAX_PROFILE_BYTES)), formats=_OPENED)
    except UnidentifiedImageError:
        for problem, fix, matches in _KNOWN:
            if matches(content[:64]):
                raise _RefusedError(problem, fix) from None
        raise _RefusedError("is not of an accepted format, or is damaged", _ACCEPTED) from None
    width, height = image.size
    if width < 1 or height < 1:
        raise _RefusedError("has no pixels", _ACCEPTED)
    if max(width, height) > MAX_SIDE:
        raise _RefusedError(f"is {width:,} × {height:,} pixels", f"scale it down: each side may have {MAX_SIDE:,}")
    if width * height > MAX_PIXELS:
        fix = f"scale it down: {MAX_PIXELS // 1_000_000} megapixels are accepted"
        raise _RefusedError(f"has {width * height / 1_000_000:,.0f} megapixels", fix)
    return image


def _clean(content: bytes) -> tuple[dict[str, Any], bytes]:
    image = _open(content)
    format_ = _FORMATS[image.format or ""]
    frames = frame_count(image) if format_ is not ImageFormat.JPEG else 1
    if frames > 1:
        _check_animation(image, frames)
        image, clean = encode_animation(image, format_)
    else:
        image, clean = _encode_still(image, format_, content)
    described = {
        "format": format_.value,
        "width": image.width,
        "height": image.height,
        "frames": frames,
        "alpha": _has_alpha(image),
        "colour": _average_colour(image),
    }
    return described, clean


def _check_animation(image: Image.Image, frames: int) -> None:
    if frames > MAX_FRAMES:
        raise _RefusedError(f"has {frames:,} frames", f"shorten it: {MAX_FRAMES} frames are accepted")
    pixels = image.width * image.height * frames
    if pixels > MAX_ANIMATED_PIXELS:
        fix = f"scale it down or shorten it: all frames together may have {MAX_ANIMATED_PIXELS // 1_000_000} megapixels"
        raise _RefusedError(f"has {pixels / 1_000_000:,.0f} megapixels in {frames:,} frames", fix)


def _loaded(image: Image.Image, content: bytes) -> Image.Image:
    """Decode an image; a JPEG image needs no marker of its end if nothing else is missing."""
    try:
        image.load()
    except OSError:
        complete = decode_without_end(content, _open) if image.format == "JPEG" else None
        if complete is None:
            raise
        return complete
    return image


def _encode_still(image: Image.Image, format_: ImageFormat, content: bytes) -> tuple[Image.Image, bytes]:
    profile = _profile(image)
    turn = turn_of(image)
    image = _loaded(image, content)
    options: dict[str, Any] = {}
    if format_ is ImageFormat.JPEG:
        options = {"quality": 92} if turn else _jpeg_options(image)
    transparency = image.info.get("transparency") if image.mode in ("P", "L", "RGB") else None
    upright = turned(image, turn)
    upright.info = {} if transparency is None else {"transparency": transparency}
    if format_ is ImageFormat.JPEG and upright.mode not in ("L", "RGB"):
        upright = _to_rgb(upright, profile)
        profile, options = None, {"quality": 92}
    elif upright.mode in ("CMYK", "YCbCr", "LAB", "HSV", "F", "I", "1") and not (
        format_ is ImageFormat.PNG and upright.mode in ("1", "I")
    ):
        upright, profile = _eight_bits(upright).convert("RGB"), None
    return upright, _encode(upright, format_, profile, options)


def _jpeg_options(image: Image.Image) -> dict[str, Any]:
    """Return how a JPEG image that stays as it is is encoded again: with its own tables, so that nothing visible is lost."""
    if image.mode not in ("L", "RGB") or not isinstance(image, JpegImagePlugin.JpegImageFile):
        return {"quality": 92}
    options: dict[str, Any] = {"qtables": image.quantization}
    if image.mode == "RGB":
        sampling = JpegImagePlugin.get_sampling(image)
        options["subsampling"] = sampling if sampling in (0, 1, 2) else 0
    return options


def _encode(image: Image.Image, format_: ImageFormat, profile: bytes | None, options: dict[str, Any]) -> bytes:
    written = io.BytesIO()
    keeps: dict[str, Any] = {"icc_profile": profile} if profile else {}
    match format_:
        case ImageFormat.JPEG:
            return _encode_jpeg(image, options | keeps)
        case ImageFormat.PNG:
            image.save(written, "PNG", **keeps)
        case ImageFormat.WEBP:
            image.save(written, "WEBP", quality=options.get("quality", 88), method=3, **keeps, **_NO_METADATA)
        case ImageFormat.AVIF:
            image.save(written, "AVIF", quality=80, speed=9, **keeps, **_NO_METADATA)
        case ImageFormat.GIF:
            image.save(written, "GIF", comment=b"")
    return written.getvalue()


def _encode_jpeg(image: Image.Image, options: dict[str, Any]) -> bytes:
    """Return a progressive image; a plain one if it has so much detail that it exceeds the buffer that Pillow estimates."""
    for smaller in ({"optimize": True, "progressive": True}, {}):
        written = io.BytesIO()
        try:
            image.save(written, "JPEG", **options, **smaller)
        except OSError:
            if not smaller:
                raise
        else:
            break
    return written.getvalue()


def _resize(content: bytes, width: int, format_: ImageFormat) -> bytes:
    """Return a narrower variant in sRGB."""
    image = _open(content)
    height = max(1, round(image.height * width / image.width))
    profile = _profile(image)
    image.draft("RGB", (width * 2, height * 2))  # JPEG: decodes a half, a quarter or an eighth of it
    image.load()
    mode = "RGBA" if _has_alpha(image) else "RGB"
    smaller = _eight_bits(image).convert(mode).resize((width, height), Image.Resampling.LANCZOS, reducing_gap=2.0)
    if profile is not None:
        smaller = _to_srgb(smaller, profile)
    smaller.info = {}
    quality = {ImageFormat.JPEG: {"quality": 80}, ImageFormat.WEBP: {"quality": 78}}.get(format_, {})
    return _encode(smaller, format_, None, dict(quality))


def _profile(image: Image.Image) -> bytes | None:
    """Return the colour profile of an image if it can be used."""
    profile = image.info.get("icc_profile")
    if not profile or len(profile) > (MAX_PRINT_PROFILE_BYTES if image.mode == "CMYK" else MAX_PROFILE_BYTES):
        return None
    try:
        space = ImageCms.ImageCmsProfile(io.BytesIO(profile)).profile.xcolor_space.strip()
    except (OSError, ImageCms.PyCMSError):
        return None
    return (
        profile
        if {"RGB": "RGB", "RGBA": "RGB", "P": "RGB", "L": "GRAY", "LA": "GRAY", "CMYK": "CMYK"}.get(image.mode) == space
        else None
    )


def _to_rgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    return _to_srgb(image, profile) if profile is not None and image.mode == "CMYK" else image.convert("RGB")


def _to_srgb(image: Image.Image, profile: bytes) -> Image.Image:
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        mode = "RGBA" if image.mode == "RGBA" else "RGB"
        changed = ImageCms.profileToProfile(image, source, ImageCms.createProfile("sRGB"), outputMode=mode)
    except (OSError, ImageCms.PyCMSError, ValueError):
        return image.convert("RGB") if image.mode == "CMYK" else image
    return image if changed is None else changed


def _eight_bits(image: Image.Image) -> Image.Image:
    """Return an image of 16 bits a pixel with 8: conversions of Pillow would make everything above 255 white."""
    if not image.mode.startswith("I"):
        return image
    return image.convert("I").point(lambda value: value * (1 / 256)).convert("L")


def _has_alpha(image: Image.Image) -> bool:
    return image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info


def _average_colour(image: Image.Image) -> str:
    small = _eight_bits(image).convert("RGBA").resize((1, 1), Image.Resampling.BOX, reducing_gap=1.0)
    pixel: Any = small.getpixel((0, 0))
    return "#{:02x}{:02x}{:02x}".format(*pixel[:3])
