"""Removes characters and addresses that the API rejects from an article, and notes what was removed."""

from collections.abc import Callable
from typing import Any
from urllib.parse import quote

from pydantic_core import PydanticCustomError

from newswire.validation.characters import clean_headline, clean_label, clean_prose
from newswire.validation.web_addresses import check_web_address
from newswire_ingest.content.control_characters import with_windows_characters

_SAFE = "!#$%&'()*+,/:;=?@[]~"
"""Characters that are not percent-encoded when an address is repaired."""

_FIT: dict[str, Callable[[str], str]] = {
    "title": clean_headline,
    "category": clean_label,
    "summary": clean_prose,
    "correction_note": clean_prose,
}


def remove_invalid_text(draft: dict[str, Any], notes: list[str]) -> None:
    """Remove characters that the members of a draft must not contain, and invalid addresses."""
    for name, fit in _FIT.items():
        if isinstance(draft.get(name), str):
            draft[name] = _cleaned(draft[name], name, fit, notes)
    if isinstance(topics := draft.get("topics"), list):
        draft["topics"] = [_cleaned(topic, "a topic", clean_label, notes) for topic in topics]
    if isinstance(authors := draft.get("authors"), list):
        draft["authors"] = [_author(author, notes) for author in authors]
    if isinstance(image := draft.get("image"), dict):
        texts = {
            name: _cleaned(image[name], f"the image's {name}", clean_prose, notes) for name in image.keys() - {"url"}
        }
        draft["image"] = {**image, **texts, **_address(image, "the image's url", notes)}
    if "canonical_url" in draft:
        draft |= _address({"url": draft["canonical_url"]}, "canonical_url", notes, "canonical_url")
    metadata = draft.get("metadata")
    if isinstance(metadata, dict):
        draft["metadata"] = {
            _cleaned(name, "metadata", clean_label, notes): _cleaned(value, "metadata", clean_prose, notes)
            for name, value in metadata.items()
        }


def replace_windows_characters(value: Any) -> Any:
    """Return a member of a draft with quotation marks and dashes where it has control characters of ISO-8859-1.

    Feeds are full of ``&#146;`` for an apostrophe. XML takes the number literally, HTML and all readers of feeds do not.
    """
    if isinstance(value, str):
        return with_windows_characters(value)
    if isinstance(value, list):
        return [replace_windows_characters(each) for each in value]
    if isinstance(value, dict):
        return {name: replace_windows_characters(each) for name, each in value.items()}
    return value


def _cleaned(text: Any, what: str, fit: Callable[[str], str], notes: list[str]) -> Any:
    if not isinstance(text, str) or "\x00" in text:  # a NUL shows that this is not text; the API rejects it
        return text
    if fit in (clean_headline, clean_label):
        text = " ".join(text.split())
    fitted = fit(text)
    if fitted != text:
        notes.append(f"{what} contained invisible or control characters: removed")
    return fitted


def _author(author: Any, notes: list[str]) -> Any:
    if not isinstance(author, dict):
        return _cleaned(author, "an author", clean_label, notes)
    named = {"name": _cleaned(author["name"], "an author", clean_label, notes)} if "name" in author else {}
    rest = {name: value for name, value in author.items() if name != "url"}
    return {**rest, **named, **_address(author, "an author's url", notes, keep_unfit=False)}


def _address(
    of: dict[str, Any], what: str, notes: list[str], name: str = "url", *, keep_unfit: bool = True
) -> dict[str, Any]:
    """Return the member with the address, percent-encoded if that makes it valid; an invalid one is kept or omitted."""
    address = of.get("url")
    if not isinstance(address, str):
        return {name: address} if "url" in of and keep_unfit else {}
    for written in (address.strip(), quote(address.strip(), safe=_SAFE)):
        try:
            return {name: check_web_address(written)}
        except PydanticCustomError:
            continue
    if keep_unfit:
        return {name: address}
    notes.append(f"{what} is not a web address: omitted")
    return {}
