"""Decodes the bytes of a document in the encoding that they really have.

A byte order mark decides; otherwise valid UTF-8 is UTF-8, regardless of any declaration; otherwise the declaration decides, with
the
meaning that browsers give it (``iso-8859-1`` is Windows-1252). Single bytes that are not UTF-8 are decoded as Windows-1252 and
marked.
"""

import codecs
import re
from collections.abc import Iterator
from typing import IO

from trafilatura.utils import detect_encoding

REPAIRED_BYTE = "\ufdd0"
"""Marks each character that was decoded from bytes that are not UTF-8. It is a noncharacter, so that no text contains it."""
CHUNK = 65_536
SAMPLE = 262_144
"""Number of bytes from which an undeclared encoding is guessed."""
_BOMS = (
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_WIDE = (
    (re.compile(rb"(?:[^\x00]\x00\x00\x00){2}"), "utf-32-le"),
    (re.compile(rb"(?:\x00\x00\x00[^\x00]){2}"), "utf-32-be"),
    (re.compile(rb"(?:[^\x00]\x00){2}"), "utf-16-le"),
    (re.compile(rb"(?:\x00[^\x00]){2}"), "utf-16-be"),
)
_DECLARED = re.compile(rb"""(?i)<\?xml\s[^>]{0,200}?encoding\s*=\s*["']?\s*([A-Za-z0-9._:-]+)""")
_META = re.compile(rb"""(?i)<meta\b[^>]{0,300}?charset\s*=\s*["']?\s*([A-Za-z0-9._:-]+)""")
_ROWS = re.compile(rb"[\x80-\xff]+")
_SURROGATES = re.compile(rb"\xed[\xa0-\xaf][\x80-\xbf]\xed[\xb0-\xbf][\x80-\xbf]")
_AS_BROWSERS_READ = {
    "ascii": "cp1252",
    "iso8859-1": "cp1252",
    "iso8859-9": "cp1254",
    "iso8859-11": "cp874",
    "tis-620": "cp874",
    "gb2312": "gb18030",
    "gbk": "gb18030",
    "shift_jis": "cp932",
    "euc_kr": "cp949",
    "big5": "big5hkscs",
}
_TEXT_CODECS = re.compile(
    r"cp\d+$|iso8859|koi8|mac|gb|big5|euc|shift|iso2022|johab|hz$|tis-620$|kz1048$|ptcp154$|ascii$|utf-8"
)


def declared_encoding(head: bytes) -> str | None:
    """Return the encoding that the first bytes of a document declare, as written there."""
    found = _DECLARED.search(head[:1024]) or _META.search(head)
    return found[1].decode("ascii") if found else None


def byte_order_mark(head: bytes) -> tuple[str, int] | None:
    """Return the encoding that a byte order mark, or zero bytes between characters, indicates, and the length of the mark."""
    for mark, encoding in _BOMS:
        if head.startswith(mark):
            return encoding, len(mark)
    return next(((encoding, 0) for pattern, encoding in _WIDE if pattern.match(head)), None)


def codec_of(label: str | None) -> str | None:
    """Return Python's name for a declared encoding, as browsers interpret it; None for an unknown one."""
    try:
        name = codecs.lookup(label or "").name
    except (LookupError, ValueError):
        return None
    if not _TEXT_CODECS.match(name) or b"<?xml".decode(name, "replace") != "<?xml":
        return None
    return _AS_BROWSERS_READ.get(name, "utf-8" if name == "utf-8-sig" else name)


def encoding_of(stream: IO[bytes], head: bytes, charset: str | None = None) -> tuple[str, list[str]]:
    """Read a stream to determine its encoding; return the encoding and notes.

    ``charset`` is what the server declared; it is used if the document declares nothing.
    """
    if marked := byte_order_mark(head):
        return marked[0], []
    label = declared_encoding(head) or charset
    declared = codec_of(label)
    wrong = [f"the declared encoding {label!r} is unknown"] if label and not declared else []
    plain, broken = _scan(stream)
    if broken is None:
        if plain:
            return declared or "utf-8", wrong
        return "utf-8", [f"is UTF-8, although {label!r} is declared"] if declared not in (None, "utf-8") else wrong
    text = broken.decode("utf-8", "newswire-windows-1252")
    repaired = text.count(REPAIRED_BYTE)
    valid = sum(character > "\x7f" for character in text) - 2 * repaired
    if valid > repaired:
        return "utf-8", wrong
    if declared not in (None, "utf-8"):
        return str(declared), []
    if not valid and _in_words(broken):
        guessed = next((codec for name in detect_encoding(broken) if (codec := codec_of(name))), "cp1252")
        if guessed not in ("utf-8", "cp1252"):
            return guessed, [f"is not UTF-8: read as {guessed}"]
    return "utf-8", wrong


def text_of(content: bytes, charset: str | None = None) -> str:
    """Return a whole document as text, without its byte order mark."""
    return noted_text_of(content, charset)[0]


def noted_text_of(content: bytes, charset: str | None = None) -> tuple[str, list[str]]:
    """Return a whole document as text, without its byte order mark, and notes on how it was decoded."""
    from io import BytesIO

    encoding, notes = encoding_of(BytesIO(content), content[:CHUNK], charset)
    text = "".join(decoded(BytesIO(content), encoding))
    if REPAIRED_BYTE in text:
        text = text.replace(REPAIRED_BYTE, "")
        notes = [*notes, "bytes that are not UTF-8 read as Windows-1252"]
    return text, notes


def decoded(stream: IO[bytes], encoding: str) -> Iterator[str]:
    """Yield the text of a stream; bytes that cannot be decoded are marked (UTF-8) or replaced by U+FFFD."""
    errors = "newswire-windows-1252" if encoding == "utf-8" else "replace"
    decoder = codecs.getincrementaldecoder(encoding)(errors)
    first = True
    while chunk := stream.read(CHUNK):
        text = decoder.decode(chunk)
        if first and text:
            text, first = text.removeprefix("\ufeff"), False
        if text:
            yield text
    if text := decoder.decode(b"", final=True):
        yield text


def _scan(stream: IO[bytes]) -> tuple[bool, bytes | None]:
    """Return whether all bytes are ASCII, and a sample that starts at the first byte that is not UTF-8, if there is one."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    plain = True
    while chunk := stream.read(CHUNK):
        plain = plain and chunk.isascii()
        try:
            decoder.decode(chunk)
        except UnicodeDecodeError:
            return False, chunk + stream.read(SAMPLE)
    return plain, None


def _in_words(sample: bytes) -> bool:
    """Return whether non-ASCII bytes occur in sequences, as in languages that do not use Latin letters."""
    rows = _ROWS.findall(_SURROGATES.sub(b"", sample))
    return 2 * sum(len(row) for row in rows if len(row) > 2) > sum(map(len, rows))


def _as_windows_1252(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeDecodeError):
        raise error
    start, content = error.start, error.object
    pair = content[start : start + 6]
    if len(pair) == 6 and pair[0] == pair[3] == 0xED and 0xA0 <= pair[1] < 0xB0 <= pair[4] < 0xC0:
        halves = pair.decode("utf-8", "surrogatepass")  # a surrogate pair, each half encoded as UTF-8 (CESU-8)
        return REPAIRED_BYTE + halves.encode("utf-16-le", "surrogatepass").decode("utf-16-le"), start + 6
    characters = content[start : error.end].decode("cp1252", "replace")
    return "".join(REPAIRED_BYTE + character for character in characters), error.end


codecs.register_error("newswire-windows-1252", _as_windows_1252)
