"""Reads the authors of a feed item."""

import re
from collections.abc import Iterable

from lxml import etree

from newswire_ingest.importing.formats.feed_fields import Fields
from newswire_ingest.importing.markup import plain
from newswire_ingest.importing.xml.safe_parser import text

Person = str | dict[str, str]
_MAIL = r"(?:mailto:)?[^\s@()<>,;]+@[^\s@()<>,;]+"
_MAIL_FIRST = re.compile(rf"{_MAIL}\s*\((.*)\)")
_ADDRESS = re.compile(rf"[<(\[]?\s*{_MAIL}\s*[>)\]]?")


def name_of(written: str) -> str:
    """Return the name in ``mail@host (Name)``, ``Name <mail@host>`` or ``Name``; "" if there is only an address."""
    display = plain(_ADDRESS.sub(lambda found: found[0].strip("<>"), written)) if "<" in written else plain(written)
    if found := _MAIL_FIRST.fullmatch(display):
        display = found[1]
    return _ADDRESS.sub("", display).strip(" \t,;:\"'") if "@" in display else display.strip()


def authors(fields: Fields) -> tuple[list[Person], list[str]]:
    """Return the authors of an item, and notes."""
    found: dict[str, Person] = {}
    addresses = False
    for member in fields.all("author", "dc:creator", "atom:author", "contributor", "atom:contributor"):
        for name, person in _people(member):
            addresses = addresses or not name
            if name:
                found.setdefault(name, person)
    if not found:
        found = {name: name for each in fields.texts("itunes:author") if (name := name_of(each))}
    notes = ["an author with a mail address but no name: omitted"] if addresses and not found else []
    return list(found.values()), notes


def _people(member: etree._Element) -> Iterable[tuple[str, Person]]:
    inside = Fields(member)
    names = inside.texts("name", "atom:name")
    if not names and inside.first("email", "uri", "url", "atom:email", "atom:uri") is not None:
        yield "", ""
        return
    if not names:
        display = text(member)
        yield (name := name_of(display)), name
        return
    name = name_of(" ".join(names))
    address = inside.text("uri", "url", "atom:uri")
    yield name, {"name": name, "url": address} if address.startswith(("http://", "https://")) else name
