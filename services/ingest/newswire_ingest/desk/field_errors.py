"""What is wrong with the fields of a form, in the language of the page."""

from collections.abc import Mapping

from newswire_ingest.drafts.refusals import Mistake, Refusal

_FIELDS = {
    "at": "local_time",
    "embargo_until": "local_time",
    "authors": "field_authors",
    "authors.name": "field_authors",
    "authors.url": "field_authors",
    "image.url": "field_image_url",
    "image.alt": "field_image_alt",
    "image.caption": "field_image_caption",
    "image.credit": "field_image_credit",
}
"""The texts that name members whose name is not that of their field."""


def field_error(refusal: Refusal, texts: Mapping[str, str]) -> str:
    """Return what is wrong with a member, as its field is named on the page."""
    name = texts.get(_FIELDS.get(refusal.member, f"field_{refusal.member}"), refusal.member)
    what = refusal.message if refusal.mistake is Mistake.OTHER else texts[f"mistake_{refusal.mistake}"]
    return f"{name}: {what}"
