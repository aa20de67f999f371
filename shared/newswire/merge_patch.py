"""JSON Merge Patch (RFC 7396)."""

from typing import Annotated, Any, Final, Optional

from pydantic import BaseModel, ConfigDict, Field, create_model

MEDIA_TYPE: Final = "application/merge-patch+json"


def patch_of(model: type[BaseModel], name: str, description: str, **others: Any) -> Any:
    """Create the model of a patch: every member of the patched model is optional, and null removes it.

    ``others`` are members that are patched in another way, or None for those that cannot be patched.
    """
    members = {
        field: (Optional[Annotated[(info.annotation, Field(), *info.metadata)]], None)  # noqa: UP045
        for field, info in model.model_fields.items()
    } | others
    fields: dict[str, Any] = {field: definition for field, definition in members.items() if definition is not None}
    return create_model(name, __config__=ConfigDict(extra="forbid"), __doc__=description, **fields)


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
