"""Reads what readers choose in forms: never more than the known fields."""

from dataclasses import dataclass, field

from starlette.requests import Request

from newswire.http.forms import MAX_FORM_BYTES, FormData
from newswire.http.request_parsing import read_body
from newswire_notify.newsletters.models import Choices, Newsletter
from newswire_notify.newsletters.schedule import Cadence, UnknownZoneError, zone_of

HONEYPOT = "website"
"""A field that people do not see; most bots fill it."""


@dataclass(frozen=True, slots=True)
class ReadChoices:
    """The choices in a form, and the fields that hold something else."""

    choices: Choices
    wrong: tuple[str, ...] = field(default=())


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
