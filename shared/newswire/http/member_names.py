"""Which member a sender meant by an unknown name: one that is spelled alike, or that other formats call so."""

import difflib
from collections.abc import Iterator, Sequence
from typing import Any, Final, get_args

from pydantic import BaseModel
from pydantic.fields import FieldInfo

_SYNONYMS: Final = {
    "abstract": "summary",
    "byline": "authors",
    "canonical": "canonical_url",
    "content": "body",
    "creator": "author",
    "date": "published_at",
    "description": "summary",
    "embargo": "embargo_until",
    "excerpt": "summary",
    "guid": "external_id",
    "headline": "title",
    "html": "body",
    "keywords": "topics",
    "lang": "language",
    "lead": "summary",
    "link": "canonical_url",
    "locale": "language",
    "photo": "image",
    "picture": "image",
    "priority": "urgency",
    "q": "query",
    "section": "category",
    "sections": "categories",
    "subject": "topics",
    "subjects": "topics",
    "tag": "topics",
    "tags": "topics",
    "teaser": "summary",
    "text": "body",
    "uri": "url",
    "webhook": "channel",
}
"""What feeds, content systems and other APIs call the members."""


def meant_member(model: type[BaseModel] | None, path: Sequence[str]) -> str | None:
    """Return the name of the member that the last part of a path into a document was meant to be, or None."""
    known = list(_names(_models_at(model, path[:-1])))
    synonym = _SYNONYMS.get(path[-1].lower())
    if synonym in known:
        return synonym
    near = difflib.get_close_matches(path[-1], known, 1)
    return near[0] if near else None


def _models_at(model: type[BaseModel] | None, path: Sequence[str]) -> list[type[BaseModel]]:
    """Return the models that the object at a path may be of: several for a member of a union."""
    models = [model] if model is not None else []
    for part in path:
        if part.isdigit():  # an item of an array
            continue
        fields = [info for each in models for name, info in each.model_fields.items() if _sent_name(name, info) == part]
        models = [found for info in fields for found in _models_in(info.annotation)]
    return models


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from _models_in(argument)


def _names(models: Sequence[type[BaseModel]]) -> Iterator[str]:
    for model in models:
        for name, info in model.model_fields.items():
            yield _sent_name(name, info)


def _sent_name(name: str, info: FieldInfo) -> str:
    return info.alias or name
