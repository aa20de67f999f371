"""JSON Merge Patch (RFC 7396) for articles."""

from typing import Annotated, Any

from pydantic import BaseModel, Field

from newswire.article import ArticleDraft, ImageDraft
from newswire.http.merge_patch import merged, patch_of
from newswire.validation.fields import Text

ImagePatch = patch_of(ImageDraft, "ImagePatch", "What is to change of an image.")
ArticlePatch: type[BaseModel] = patch_of(
    ArticleDraft,
    "ArticlePatch",
    "What is to change of an article, as a JSON Merge Patch (RFC 7396): null takes a member away.",
    author=(Any, None),
    image=(ImagePatch | None, None),
    metadata=(dict[Annotated[str, Field(min_length=1, max_length=100)], Text | None] | None, None),
)


def patched(members: dict[str, Any], patch: dict[str, Any]) -> dict[str, Any]:
    """Apply a patch to the members of an article. ``author`` is another way to write ``authors``, here too."""
    if "author" in patch and "authors" not in patch:
        rest = {name: value for name, value in patch.items() if name != "author"}
        patch = {**rest, "authors": None if patch["author"] is None else [patch["author"]]}
    return dict(merged(members, patch))
