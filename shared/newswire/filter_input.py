"""Filters as clients send them: checked more strictly than stored ones, which a later rule must not break."""

from typing import Annotated

from pydantic import AfterValidator, BaseModel

from newswire.filters import Filter, split_exclusion
from newswire.validation.language_tags import check_language_tag
from newswire.validation.rules import broken_rule

MAX_FILTER_BYTES = 64 * 1024
"""Maximum size of a filter in a request, as compact JSON in UTF-8: the form in which it is stored."""


def _check_language(value: str) -> str:
    """Return a value of ``languages``, unless no article can have it: those of articles are BCP 47 tags, too."""
    check_language_tag(split_exclusion(value)[1])
    return value


class _Languages(BaseModel):
    """What is checked of a filter besides; as a model, so that an error names the value."""

    languages: list[Annotated[str, AfterValidator(_check_language)]]


def check_filter_input(filter_: Filter) -> Filter:
    """Return a filter from a request, unless it is too large or names a language that no article can have.

    Raises:
        pydantic.ValidationError: a language is no BCP 47 tag.
        PydanticCustomError: the filter takes more than `MAX_FILTER_BYTES`.
    """
    _Languages.model_validate({"languages": filter_.languages})
    size = len(filter_.model_dump_json(exclude_defaults=True).encode())
    if size > MAX_FILTER_BYTES:
        raise broken_rule(
            f"takes {size} bytes as JSON, more than the maximum of {MAX_FILTER_BYTES}",
            "use fewer or shorter values, or split the filter into several subscriptions",
        )
    return filter_


FilterInput = Annotated[Filter, AfterValidator(check_filter_input)]
"""A filter of a request body."""
