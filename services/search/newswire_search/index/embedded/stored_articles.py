"""Storage of articles in the embedded index: a long body and text are compressed separately and read only if needed.

All stored values of a document are read together, and most responses need neither body nor text.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import orjson
import zstandard

COMPRESS_FROM_CHARACTERS: Final = 8 * 1024
"""The total length of body and text. Below it, one JSON document is faster to read."""
ZSTD_LEVEL: Final = 1
_MAX_BYTES_PER_CHARACTER: Final = 4


def stored_values(document: Mapping[str, Any]) -> list[bytes]:
    """Return the stored values of an article: all of it as JSON, or all but body and text, followed by these two."""
    body, text = document.get("body"), document.get("text")
    if not isinstance(body, str) or not isinstance(text, str) or len(body) + len(text) < COMPRESS_FROM_CHARACTERS:
        return [orjson.dumps(document)]
    rest = {name: value for name, value in document.items() if name not in ("body", "text")}
    pack = zstandard.ZstdCompressor(level=ZSTD_LEVEL).compress  # one per call: compressors are not thread-safe
    return [orjson.dumps(rest), pack(body.encode()), pack(text.encode())]


def read_article(
    stored: Sequence[bytes], *, with_body: bool = True, with_text: bool = True, text_characters: int | None = None
) -> dict[str, Any]:
    """Return a stored article, with or without body and text.

    A long text is cut to ``text_characters``, if given.
    """
    article: dict[str, Any] = orjson.loads(stored[0])
    if len(stored) == 1:
        for name, needed in (("body", with_body), ("text", with_text)):
            if not needed:
                article.pop(name, None)
        return article
    _, body, text = stored
    if with_body:
        article["body"] = zstandard.ZstdDecompressor().decompress(body).decode()
    if with_text:
        article["text"] = _beginning(text, text_characters)
    return article


def _beginning(packed: bytes, characters: int | None) -> str:
    if characters is None:
        return zstandard.ZstdDecompressor().decompress(packed).decode()
    with zstandard.ZstdDecompressor().stream_reader(packed) as reader:
        beginning = reader.read(characters * _MAX_BYTES_PER_CHARACTER)
    return beginning.decode(errors="ignore")[:characters]  # the last character may be incomplete
