"""Checks the octets of a mail against the standards, with a parser of its own that forgives nothing.

RFC 5322 (messages), 2045–2047 (MIME), 2046 (multipart), 2369, 2919 and 8058 (mailing lists), 3834 (automatic mail), 6068 (mailto),
6376 (signatures).
"""

import base64
import binascii
import re
from datetime import datetime
from urllib.parse import unquote, urlsplit

ATOM = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
DOT_ATOM = rf"{ATOM}(?:\.{ATOM})*"
DOMAIN = r"[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?(?:\.[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?)*"
ADDRESS = rf"{DOT_ATOM}@{DOMAIN}"
ENCODED_WORD = r"=\?utf-8\?[BQ]\?[!->@-~]*\?="
QUOTED = r'"(?:[ !#-\[\]-~\t]|\\[ -~])*"'
PHRASE = rf"(?:{QUOTED}|(?:{ENCODED_WORD}|{ATOM})(?:[ \t]+(?:{ENCODED_WORD}|{ATOM}))*)"
DATE = re.compile(
    r"(Mon|Tue|Wed|Thu|Fri|Sat|Sun), \d{1,2} (Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec) \d{4}"
    r" \d\d:\d\d:\d\d [+-]\d{4}"
)
NEEDED = ("From", "To", "Subject", "Date", "Message-ID", "MIME-Version", "Content-Type", "Auto-Submitted")
LISTED = ("List-Id", "List-Unsubscribe", "List-Unsubscribe-Post", "List-Help", "List-Owner")
OPTIONAL = ("Reply-To", "List-Archive", "Feedback-ID", "DKIM-Signature")
MAY_BE_LONG = ("List-Unsubscribe",)
"""Kept on one line on purpose, whatever its length."""


def violations(mail: bytes, *, listed: bool) -> list[str]:
    """Return what a mail breaks. ``listed``: whether it was sent by subscription, and has the headers of mailing lists."""
    head, separator, body = mail.partition(b"\r\n\r\n")
    found = [*_octets(mail), *([] if separator else ["no line between headers and body"])]
    fields = re.split(rb"\r\n(?![ \t])", head)
    headers: dict[str, str] = {}
    for field in fields:
        name, colon, value = field.decode("ascii", "replace").partition(":")
        if not colon or not re.fullmatch(r"[!-9;-~]+", name):
            found.append(f"no header: {name[:40]!r}")
            continue
        if name in headers:
            found.append(f"{name} occurs twice")
        if not value.startswith(" "):
            found.append(f"{name}: no space after the colon")
        headers[name] = value
        found += [f"{name}: {problem}" for problem in _lines(name, f"{name}:{value}")]
        found += [f"{name}: {problem}" for problem in _encoded_words(value)]
    wanted = {*NEEDED, *(LISTED if listed else ())}
    found += [f"{name} is missing" for name in sorted(wanted - headers.keys())]
    found += [f"{name} is not expected" for name in sorted(headers.keys() - wanted - set(OPTIONAL))]
    if not found:
        unfolded = {name: re.sub(r"\r\n(?=[ \t])", "", value).strip() for name, value in headers.items()}
        found += _values(unfolded)
        found += _parts(unfolded["Content-Type"], body)
    return found


def sender_name(mail: bytes) -> str:
    """Return the name of the sender as a mail program shows it: without quotes, its encoded words joined (RFC 2047, 6.2)."""
    found = re.search(rb"(?:^|\r\n)From: ([^\r\n]*(?:\r\n[ \t][^\r\n]*)*)", mail)
    assert found
    name = re.sub(r"\r\n(?=[ \t])", "", found[1].decode()).rpartition("<")[0].strip()
    if name.startswith('"'):
        return re.sub(r"\\(.)", r"\1", name[1:-1])
    words = re.findall(r"=\?utf-8\?B\?([^?]*)\?=", name)
    return b"".join(map(base64.b64decode, words)).decode()


def _octets(mail: bytes) -> list[str]:
    found = []
    if re.search(rb"(?<!\r)\n|\r(?!\n)", mail):
        found.append("a bare CR or LF")
    if any(len(line) > 998 for line in mail.split(b"\r\n")):
        found.append("a line of more than 998 octets")
    if not mail.isascii() or b"\0" in mail:
        found.append("octets outside ASCII, or NUL")
    if not mail.endswith(b"\r\n"):
        found.append("the last line does not end")
    return found


def _lines(name: str, field: str) -> list[str]:
    found = []
    for at, line in enumerate(field.split("\r\n")):
        text = line.removeprefix(f"{name}: ") if at == 0 else line.strip()
        if at and not text:
            found.append("a folded line of spaces only")
        if len(line) > 78 and re.search(r"[ \t]", text) and name not in MAY_BE_LONG:
            found.append(f"a line of {len(line)} characters that can be folded")
        if "=?" in line and re.search(ENCODED_WORD, line) and len(line) > 76:
            found.append(f"a line with encoded words of {len(line)} characters")
        if re.search(r"[^\t -~]", line):
            found.append("a control character")
    return found


def _encoded_words(value: str) -> list[str]:
    found = []
    outside_quotes = re.sub(QUOTED, "", value)
    for word in re.findall(r"=\?[^ \t\r\n]*", outside_quotes):
        parts = re.fullmatch(r"=\?utf-8\?([BQ])\?(.*)\?=", word)
        if parts is None:
            found.append(f"no encoded word: {word[:40]}")
            continue
        if len(word) > 75:
            found.append("an encoded word of more than 75 characters")
        try:
            raw = (
                base64.b64decode(parts[2], validate=True) if parts[1] == "B" else binascii.a2b_qp(parts[2], header=True)
            )
            text = raw.decode()
        except (ValueError, UnicodeDecodeError):
            found.append("an encoded word that is no UTF-8 by itself")
            continue
        if re.search(r"[\x00-\x1f\x7f]", text):
            found.append("an encoded word that holds a control character")
    return found


def _values(values: dict[str, str]) -> list[str]:
    forms = {
        "From": rf"{PHRASE}[ \t]*<{ADDRESS}>",
        "To": ADDRESS,
        "Reply-To": ADDRESS,
        "Message-ID": rf"<{DOT_ATOM}@{DOMAIN}>",
        "MIME-Version": r"1\.0",
        "Auto-Submitted": "auto-generated",
        "List-Id": rf"(?:{PHRASE}[ \t]*)?<{DOT_ATOM}>",
        "List-Unsubscribe": r"<https?://[!-;=?-~]+>",
        "List-Unsubscribe-Post": "List-Unsubscribe=One-Click",
        "List-Help": r"<https?://[!-;=?-~]+>",
        "List-Owner": r"<mailto:[!-;=?-~]+>",
        "List-Archive": r"<https?://[!-;=?-~]+>",
        "Feedback-ID": r"[^ :]+:[^ :]+:[^ :]+:[^ :]{5,15}",
    }
    found = [
        f"{name}: {values[name][:80]!r} is not of its form"
        for name, form in forms.items()
        if name in values and not re.fullmatch(form, values[name])
    ]
    found += _date(values["Date"])
    if "List-Id" in values and len(values["List-Id"].rpartition("<")[2]) > 256:
        found.append("List-Id: more than 255 characters")
    if "List-Owner" in values:
        found += _mailto(values["List-Owner"][1:-1])
    if "DKIM-Signature" in values:
        found += _signature(values)
    return found


def _date(value: str) -> list[str]:
    if not DATE.fullmatch(value):
        return [f"Date: {value!r} is not of its form"]
    moment = datetime.strptime(value, "%a, %d %b %Y %H:%M:%S %z")
    return [] if moment.strftime("%a") == value[:3] else ["Date: the wrong day of the week"]


def _mailto(url: str) -> list[str]:
    parts = urlsplit(url)
    if parts.query or parts.fragment or not re.fullmatch(r"[A-Za-z0-9!$'*+,;:@._~%-]+", parts.path):
        return [f"List-Owner: {url!r} has characters that a mailto URL encodes"]
    return [] if re.fullmatch(ADDRESS, unquote(parts.path)) else [f"List-Owner: {url!r} names no address"]


def _signature(values: dict[str, str]) -> list[str]:
    tags = dict(tag.strip().split("=", 1) for tag in values["DKIM-Signature"].split(";"))
    signed = [name.strip().lower() for name in tags["h"].split(":")]
    found = [f"DKIM-Signature: {tag} is missing" for tag in ("v", "a", "b", "bh", "d", "h", "s") if not tags.get(tag)]
    unsigned = {name.lower() for name in values} - set(signed) - {"dkim-signature"}
    found += [f"DKIM-Signature: {name} is not signed" for name in sorted(unsigned)]
    if signed.count("from") < 2:
        found.append("DKIM-Signature: a second From could be added")
    if "l" in tags:
        found.append("DKIM-Signature: l= lets others append text")
    return found


def _parts(content_type: str, body: bytes) -> list[str]:
    named = re.fullmatch(r'multipart/alternative;\s+boundary="([^"]+)"', content_type)
    if named is None:
        return [f"Content-Type: {content_type!r}"]
    boundary = named[1]
    if not re.fullmatch(r"[0-9A-Za-z'()+_,./:=? -]{0,69}[0-9A-Za-z'()+_,./:=?-]", boundary):
        return ["the boundary has characters that no boundary has"]
    pieces = re.split(rb"(?:^|\r\n)--" + re.escape(boundary.encode()) + rb"(--)?[ \t]*(?:\r\n|$)", body)
    preamble, contents, ending = pieces[0], pieces[2:-2:2], pieces[-2]
    found = []
    if preamble or ending != b"--" or pieces[-1]:
        found.append("the parts do not begin and end as they should")
    kinds = []
    for content in contents:
        head, _, encoded = content.partition(b"\r\n\r\n")
        fields = dict(line.split(": ", 1) for line in head.decode().split("\r\n"))
        kinds.append(fields["Content-Type"])
        found += _encoded(fields["Content-Transfer-Encoding"], encoded)
    if kinds != ["text/plain; charset=utf-8", "text/html; charset=utf-8"]:
        found.append(f"the parts are {kinds}")
    return found


def _encoded(encoding: str, content: bytes) -> list[str]:
    lines = content.split(b"\r\n")
    found = ["an encoded line of more than 76 characters"] if any(len(line) > 76 for line in lines) else []
    if encoding == "base64":
        raw = base64.b64decode(b"".join(lines), validate=True)
    elif encoding == "quoted-printable":
        if any(line.endswith((b" ", b"\t")) for line in lines):
            found.append("quoted-printable with a space at the end of a line")
        if any(re.search(rb"=(?![0-9A-F]{2}|$)", line) for line in lines):
            found.append("quoted-printable with an equals sign that stands for nothing")
        raw = binascii.a2b_qp(content)
    else:
        return [f"the encoding {encoding}"]
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        return [*found, "a part that is no UTF-8"]
    if re.search(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]", text):
        found.append("a control character in a part")
    return found
