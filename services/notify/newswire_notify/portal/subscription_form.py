"""The form of a subscription: plain fields, and the subscription that they describe."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ValidationError

from newswire.http.forms import FormData
from newswire.http.problems import FieldError, ProblemError, from_validation_error
from newswire_notify.subscriptions.models import EventKind, NewSubscription, Subscription, SubscriptionDraft
from newswire_notify.subscriptions.schemas import SubscriptionPreviewRequest

LISTS = ("topics", "categories", "authors", "publishers", "languages")
"""The lists of a filter, one value on each line."""
_FIELDS = {
    **{f"filter.{name}": name for name in (*LISTS, "query", "metadata")},
    **{f"channel.{name}": name for name in ("url", "headers", "rate", "concurrency")},
    "events": "events",
    "content": "content",
}
"""The members of a subscription, and the field of the form in which each is entered."""
_FLAGS = ("verify", "notices")


@dataclass(frozen=True, slots=True)
class FormErrors:
    """What is wrong with a form: by field, and what belongs to none."""

    fields: Mapping[str, str]
    others: tuple[str, ...] = ()


def members_of(sent: FormData, found: Subscription | None = None) -> dict[str, Any]:
    """Return the members of a subscription as a form describes them. ``found``: the one that is changed.

    Headers that are not entered again are kept: their values are never shown. Labels have no field, and are kept.

    Raises:
        newswire.http.problems.ProblemError: 422 for a line that is no name and value.
    """
    channel: dict[str, Any] = {"type": "webhook", "url": sent.one("url").strip()}
    headers = _pairs(sent.one("headers"), "channel.headers")
    if not headers and found is not None and not sent.one("drop_headers"):
        headers = dict(found.channel.headers)
    channel |= {"headers": headers} if headers else {}
    channel |= {name: _number(sent.one(name)) for name in ("rate", "concurrency") if sent.one(name).strip()}
    channel |= {name: True for name in _FLAGS if sent.one(name)}
    labels = found.labels if found else {}
    return {"channel": channel, "content": sent.one("content") or "full", "labels": labels} | criteria_of(sent)


def criteria_of(sent: FormData) -> dict[str, Any]:
    """Return the filter and the events that a form describes: what a preview needs."""
    wanted: dict[str, Any] = {name: values for name in LISTS if (values := _lines(sent.one(name)))}
    wanted |= {"metadata": metadata} if (metadata := _pairs(sent.one("metadata"), "filter.metadata")) else {}
    wanted |= {"query": query} if (query := sent.one("query").strip()) else {}
    return {"filter": wanted, "events": [*sent.all("events"), EventKind.RETRACTED]}


def checked(model: type[BaseModel], members: dict[str, Any]) -> Any:
    """Return the model of these members.

    Raises:
        newswire.http.problems.ProblemError: 422 that names the members at fault.
    """
    try:
        return model.model_validate(members)
    except ValidationError as error:
        raise from_validation_error(error, model) from None


def new_subscription(sent: FormData) -> NewSubscription:
    """Return the subscription that a form describes; raises as `checked`."""
    made: NewSubscription = checked(NewSubscription, members_of(sent))
    return made


def changed_subscription(sent: FormData, found: Subscription) -> SubscriptionDraft:
    """Return a subscription as a form changes it; raises as `checked`."""
    made: SubscriptionDraft = checked(SubscriptionDraft, members_of(sent, found))
    return made


def preview_request(sent: FormData, limit: int) -> SubscriptionPreviewRequest:
    """Return the preview that a form asks for; raises as `checked`."""
    made: SubscriptionPreviewRequest = checked(SubscriptionPreviewRequest, criteria_of(sent) | {"limit": limit})
    return made


def form_of(found: Subscription) -> FormData:
    """Return the fields of an existing subscription. The values of headers are not among them."""
    filter_ = found.filter
    metadata = "\n".join(f"{name}: {value}" for name, value in filter_.get("metadata", {}).items())
    fields = {
        "url": found.channel.url,
        "content": found.content,
        "query": filter_.get("query") or "",
        "metadata": metadata,
        "rate": _shown(found.channel.rate),
        "concurrency": _shown(found.channel.concurrency),
        **{name: "\n".join(filter_.get(name, [])) for name in LISTS},
        **{name: "1" for name in _FLAGS if getattr(found.channel, name)},
    }
    return FormData({name: [value] for name, value in fields.items()} | {"events": found.events})


def errors_of(problem: ProblemError) -> FormErrors:
    """Return the errors of a problem, each at the field of the form."""
    fields: dict[str, str] = {}
    others: list[str] = []
    for error in problem.errors:
        text = f"{error.problem}; {error.fix}"
        name = next((name for member, name in _FIELDS.items() if _is_within(error.field, member)), None)
        if name is None:
            others.append(f"{error.field}: {text}")
        else:
            fields.setdefault(name, text)
    return FormErrors(fields, tuple(others) if problem.errors else (problem.detail,))


def _is_within(field: str, member: str) -> bool:
    return field == member or field.startswith(f"{member}.")


def _lines(text: str) -> list[str]:
    return [line.strip() for line in text.splitlines() if line.strip()]


def _pairs(text: str, member: str) -> dict[str, str]:
    found = {}
    for line in _lines(text):
        name, colon, value = line.partition(":")
        if not colon:
            error = FieldError(
                member, f"{line[:60]!r} is not a name, a colon and a value", "write one pair on each line"
            )
            raise ProblemError(422, "Invalid content", error.problem, errors=[error])
        found[name.strip()] = value.strip()
    return found


def _number(text: str) -> float | int | str:
    """Return a number as it was typed; what is none is left to the check of the model."""
    try:
        return int(text)
    except ValueError:
        pass
    try:
        return float(text.replace(",", "."))
    except ValueError:
        return text


def _shown(number: float | None) -> str:
    return "" if number is None else f"{number:g}"
