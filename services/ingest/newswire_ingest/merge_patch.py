"""JSON Merge Patch (RFC 7396) for articles."""

from typing import Annotated, Any, Final, Optional

from pydantic import BaseModel, ConfigDict, Field, create_model

from newswire.article import ArticleDraft, ImageDraft, Text

MEDIA_TYPE: Final = "application/merge-patch+json"


def _patch_of(model: type[BaseModel], name: str, description: str, **others: Any) -> Any:
    """Make the model of a patch: every member of the patched model, each optional, and null to take it away."""
    members = {
        field: (Optional[Annotated[(info.annotation, Field(), *info.metadata)]], None)  # noqa: UP045
        for field, info in model.model_fields.items()
    }
    return create_model(name, __config__=ConfigDict(extra="forbid"), __doc__=description, **{**members, **others})


ImagePatch = _patch_of(ImageDraft, "ImagePatch", "What is to change of an image.")
ArticlePatch: type[BaseModel] = _patch_of(
    ArticleDraft,
    "ArticlePatch",
    "What is to change of an article, as a JSON Merge Patch (RFC 7396): null takes a member away.",
    author=(Any, None),
    image=(ImagePatch | None, None),
    metadata=(dict[Annotated[str, Field(min_length=1, max_length=100)], Text | None] | None, None),
)


def merged(target: Any, patch: Any) -> Any:
    """Apply a merge patch (RFC 7396, section 2)."""
    if not isinstance(patch, dict):
        return patch
    result = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            result.pop(name, None)
        else:
            result[name] = merged(result.get(name), value)
    return result


def patched(members: dict[str, Any], patch: dict[str, Any]) -> dict[str, Any]:
    """Apply a patch to the members of an article. ``author`` is another way to write ``authors``, here too."""
    if "author" in patch and "authors" not in patch:
        rest = {name: value for name, value in patch.items() if name != "author"}
        patch = {**rest, "authors": None if patch["author"] is None else [patch["author"]]}
    return dict(merged(members, patch))
