"""Reads what readers send: HTML forms, or JSON from sites; strictly bounded, and never more than the known fields."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from urllib.parse import parse_qsl

import orjson
from starlette.requests import Request

from newswire.http.problems import malformed
from newswire.http.request_parsing import JSON, check_media_type, check_single_headers, parse_json, read_body
from newswire_notify.newsletters.models import Choices, Newsletter
from newswire_notify.newsletters.schedule import Cadence, UnknownZoneError, zone_of

MAX_FORM_BYTES = 16 * 1024
MAX_FIELDS = 60
FORM = "application/x-www-form-urlencoded"
HONEYPOT = "website"
"""A field that people do not see; most bots fill it."""


@dataclass(frozen=True, slots=True)
class FormData:
    """The fields of a form, each with its values in order."""

    values: Mapping[str, Sequence[str]]

    def one(self, name: str) -> str:
        """Return the first value of a field; empty where it was not sent."""
        return next(iter(self.values.get(name, ())), "")

    def all(self, name: str) -> Sequence[str]:
        """Return all values of a field."""
        return self.values.get(name, ())


@dataclass(frozen=True, slots=True)
class ReadChoices:
    """The choices in a form, and the fields that hold something else."""

    choices: Choices
    wrong: tuple[str, ...] = field(default=())


def is_json(request: Request) -> bool:
    """Return whether a request has a JSON body."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower() == JSON


async def read_form(request: Request) -> FormData:
    """Read a form, or the same fields as JSON.

    Raises:
        newswire.http.problems.ProblemError: 415 for another type, 413 for more than `MAX_FORM_BYTES`, 400 for what cannot be read.
    """
    check_media_type(request, FORM, JSON)
    body = await read_body(request, MAX_FORM_BYTES)
    check_single_headers(request)
    if is_json(request):
        return _of_json(parse_json(body))
    try:
        pairs = parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=MAX_FIELDS, errors="strict")
    except ValueError:
        raise malformed(
            "body", f"is not a form in UTF-8 with at most {MAX_FIELDS} fields", "send the form as it is"
        ) from None
    values: dict[str, list[str]] = {}
    for name, value in pairs:
        values.setdefault(name, []).append(value)
    return FormData(values)


def _of_json(document: object) -> FormData:
    if not isinstance(document, dict) or len(document) > MAX_FIELDS:
        raise malformed(
            "body", "is not a JSON object with the fields of the form", 'send {"email": "…", "form_token": "…"}'
        )
    values = {}
    for name, value in document.items():
        items = value if isinstance(value, list) else [value]
        if len(items) > MAX_FIELDS or any(isinstance(item, dict | list) for item in items):
            raise malformed(str(name)[:100], "is neither a text nor a list of texts", "send texts")
        values[str(name)] = [item if isinstance(item, str) else orjson.dumps(item).decode() for item in items]
    return FormData(values)


async def discard_body(request: Request) -> None:
    """Read a body that says nothing, such as that of a one-click unsubscription, up to the limit."""
    await read_body(request, MAX_FORM_BYTES)


def read_choices(form: FormData, newsletter: Newsletter, default: Choices) -> ReadChoices:
    """Return the choices in a form; those that were not sent, or are none, are the default's."""
    wrong = []
    topics = tuple(label for label in newsletter.labels if label in form.all("topics"))
    if any(label not in newsletter.labels for label in form.all("topics") if label):
        wrong.append("topics")
    cadence, hour, weekday, zone = default.cadence, default.hour, default.weekday, default.zone
    if sent := form.one("cadence"):
        if sent in newsletter.draft.cadences:
            cadence = Cadence(sent)
        else:
            wrong.append("cadence")
    if sent := form.one("hour"):
        if sent.isascii() and sent.isdigit() and int(sent[:3]) < 24:
            hour = int(sent[:3])
        else:
            wrong.append("hour")
    if sent := form.one("weekday"):
        if sent.isascii() and sent.isdigit() and int(sent[:3]) < 7:
            weekday = int(sent[:3])
        else:
            wrong.append("weekday")
    if sent := form.one("zone"):
        try:
            zone = zone_of(sent).key
        except UnknownZoneError:
            wrong.append("zone")
    return ReadChoices(Choices(cadence, zone, hour, weekday, topics), tuple(wrong))


def default_choices(newsletter: Newsletter) -> Choices:
    """Return what readers get who choose nothing."""
    cadences = newsletter.draft.cadences
    cadence = Cadence.DAILY if Cadence.DAILY in cadences else cadences[0]
    return Choices(cadence, newsletter.draft.time_zone)
