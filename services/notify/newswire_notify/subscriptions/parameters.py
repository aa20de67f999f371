"""Query parameters of lists of subscriptions."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, WithJsonSchema

from newswire.http.pagination import OptionalText, PageParams
from newswire.validation.rules import broken_rule

STATUSES = ("active", "paused", "disabled")


def _check_label(sent: str) -> str:
    if ":" not in sent:
        raise broken_rule("is not of the form name:value", "send for example label=team:night")
    return sent


class SubscriptionListParams(PageParams):
    """The query parameters of ``GET /v1/subscriptions``."""

    label: Annotated[
        list[Annotated[str, AfterValidator(_check_label), WithJsonSchema({"type": "string", "pattern": ":"})]],
        Field(description="Only those with this label, as `name:value`; repeated: with all of these."),
    ] = []
    status: Annotated[
        Literal["active", "paused", "disabled"] | None,
        Field(description="Only those with this status."),
        WithJsonSchema({"type": "string", "enum": [*STATUSES]}),
    ] = None
    channel: Annotated[
        Literal["webhook"] | None,
        Field(description="Only those with this channel type."),
        WithJsonSchema({"type": "string", "enum": ["webhook"]}),
    ] = None
    url: Annotated[OptionalText, Field(description="Only those that deliver to this URL.")] = None
