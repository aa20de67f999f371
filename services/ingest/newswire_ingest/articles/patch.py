"""JSON Merge Patch (RFC 7396) for articles."""

from typing import Annotated, Any

from pydantic import BaseModel, Field

from newswire.article import ArticleDraft, ImageDraft
from newswire.merge_patch import merged, patch_of
from newswire.validation.fields import Text

ImagePatch = patch_of(ImageDraft, "ImagePatch", "The changes to an image.")
ArticlePatch: type[BaseModel] = patch_of(
    ArticleDraft,
    "ArticlePatch",
    "The changes to an article, as a JSON Merge Patch (RFC 7396): null removes a member.",
    author=(Any, None),
    image=(ImagePatch | None, None),
    metadata=(dict[Annotated[str, Field(min_length=1, max_length=100)], Text | None] | None, None),
)


def patched(members: dict[str, Any], patch: dict[str, Any]) -> dict[str, Any]:
    """Apply a patch to the members of an article. As in drafts, ``author`` is an alternative to ``authors``."""
    if "author" in patch and "authors" not in patch:
        rest = {name: value for name, value in patch.items() if name != "author"}
        patch = {**rest, "authors": None if patch["author"] is None else [patch["author"]]}
    return dict(merged(members, patch))
