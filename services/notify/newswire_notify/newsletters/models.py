"""Newsletters and their subscribers: as they are asked for, and as they are stored."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from enum import StrEnum
from typing import Annotated, Any, Literal

import orjson
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, field_validator, model_validator

from newswire.filter_input import FilterInput
from newswire.filters import Filter
from newswire.text.folding import fold
from newswire.timestamps import from_epoch_ms, rfc3339
from newswire.validation.email_addresses import InvalidAddressError, check_address
from newswire.validation.fields import Flag, Label, LanguageTag, Note, Text, Url
from newswire.validation.rules import broken_rule
from newswire_notify.newsletters.schedule import Cadence, DigestTime, UnknownZoneError, zone_of

MAX_TOPICS = 20
_COLOUR = re.compile(r"#[0-9a-fA-F]{6}")
INSTANT_GROUP = "instant"


def _address(value: str) -> str:
    try:
        return check_address(value)
    except InvalidAddressError as error:
        raise broken_rule(f"is not an address that mail can be sent from: {error}", "send name@your.domain") from None


def _https(value: str) -> str:
    if not value.startswith("https://"):
        raise broken_rule("is not an https address; mail programs show no other pictures", "send an https:// address")
    return value


MailAddress = Annotated[Text, AfterValidator(_address)]
Slug = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$")]
ShortNote = Annotated[Note, StringConstraints(min_length=1, max_length=500)]


class Sender(BaseModel):
    """Who the mails are from."""

    model_config = ConfigDict(extra="forbid")

    name: Label
    address: MailAddress
    reply_to: MailAddress | None = None


class Topic(BaseModel):
    """A part of a newsletter that readers can choose."""

    model_config = ConfigDict(extra="forbid")

    label: Label
    filter: FilterInput


class Brand(BaseModel):
    """How mails and pages look."""

    model_config = ConfigDict(extra="forbid")

    logo_url: Annotated[Url, AfterValidator(_https)] | None = None
    colour: Annotated[str, StringConstraints(pattern=_COLOUR.pattern)] = "#a3221f"
    """Of headings and buttons, as #rrggbb."""
    postal_address: Annotated[Note, StringConstraints(max_length=300)] | None = None
    """Of the publisher, at the foot of each mail. Many countries require it."""


class NewsletterDraft(BaseModel):
    """The members of a newsletter that its owner sends."""

    model_config = ConfigDict(extra="forbid")

    slug: Slug
    """The part of its addresses. It cannot be changed, since mail programs sort mails by it."""
    name: Label
    description: ShortNote
    """One or two sentences that readers see before they sign up."""
    sender: Sender
    filter: FilterInput = Field(default_factory=Filter)
    topics: Annotated[list[Topic], Field(max_length=MAX_TOPICS)] = []
    cadences: Annotated[list[Cadence], Field(min_length=1, max_length=3)] = list(Cadence)
    language: LanguageTag = "en"
    """Of the texts around the articles."""
    time_zone: Text = "UTC"
    """The zone of readers who have not chosen one."""
    brand: Brand = Field(default_factory=Brand)
    public_archive: Flag = True
    status: Literal["active", "paused"] = "active"
    """A paused newsletter sends nothing and takes no sign-ups."""

    @field_validator("time_zone")
    @classmethod
    def _known_zone(cls, zone: str) -> str:
        try:
            zone_of(zone)
        except UnknownZoneError as error:
            raise broken_rule(str(error), "send a name such as Europe/Berlin") from None
        return zone

    @field_validator("cadences")
    @classmethod
    def _each_cadence_once(cls, cadences: list[Cadence]) -> list[Cadence]:
        return [cadence for cadence in Cadence if cadence in cadences]

    @model_validator(mode="after")
    def _each_topic_once(self) -> "NewsletterDraft":
        labels = [fold(topic.label) for topic in self.topics]
        if len(set(labels)) < len(labels):
            raise broken_rule("names a topic twice", "give each topic a label of its own")
        return self


@dataclass(frozen=True, slots=True)
class Newsletter:
    """A newsletter as it is stored."""

    id: str
    account: str
    revision: str
    created_at: datetime
    draft: NewsletterDraft
    deleted: bool = False

    @classmethod
    def read(cls, fields: Mapping[bytes, bytes]) -> "Newsletter":
        """Read a newsletter from its record."""
        return cls(
            id=fields[b"id"].decode(),
            account=fields[b"account"].decode(),
            revision=fields[b"revision"].decode(),
            created_at=from_epoch_ms(int(fields[b"created"])),
            draft=NewsletterDraft.model_validate_json(fields[b"document"]),
            deleted=fields.get(b"status") == b"deleted",
        )

    @property
    def is_sending(self) -> bool:
        """Whether it sends mail and takes sign-ups."""
        return not self.deleted and self.draft.status == "active"

    @property
    def labels(self) -> list[str]:
        """The topics that readers can choose."""
        return [topic.label for topic in self.draft.topics]


class SubscriberState(StrEnum):
    """The state of a subscriber. Only an active one gets mail."""

    PENDING = "pending"
    ACTIVE = "active"
    UNSUBSCRIBED = "unsubscribed"
    BOUNCED = "bounced"
    COMPLAINED = "complained"


@dataclass(frozen=True, slots=True)
class Choices:
    """What a reader chose: topics (none: all), cadence, hour, day of the week and zone."""

    cadence: Cadence
    zone: str
    hour: int = 7
    weekday: int = 0
    topics: tuple[str, ...] = ()

    @property
    def group(self) -> str:
        """The delivery group of readers who get mail together."""
        if self.cadence is Cadence.INSTANT:
            return INSTANT_GROUP
        return DigestTime(self.zone, self.hour, self.weekday if self.cadence is Cadence.WEEKLY else None).group


@dataclass(frozen=True, slots=True)
class Subscriber:
    """A subscriber as it is stored."""

    id: str
    newsletter: str
    address: str
    address_hash: str
    state: SubscriberState
    choices: Choices
    created_at: datetime
    language: str = "en"
    consent: Mapping[str, Any] = field(default_factory=dict)
    """The proof of consent: how, when and from where it was asked for and given."""
    paused_until: datetime | None = None
    last_date: date | None = None
    """The local date of the last digest."""

    @classmethod
    def read(cls, fields: Mapping[bytes, bytes]) -> "Subscriber":
        """Read a subscriber from its record."""
        return cls(
            id=fields[b"id"].decode(),
            newsletter=fields[b"newsletter"].decode(),
            address=fields[b"address"].decode(),
            address_hash=fields[b"address_hash"].decode(),
            state=SubscriberState(fields[b"state"].decode()),
            choices=read_choices(fields),
            created_at=from_epoch_ms(int(fields[b"created"])),
            language=fields.get(b"language", b"en").decode(),
            consent=orjson.loads(fields.get(b"consent", b"{}")),
            paused_until=from_epoch_ms(int(fields[b"paused_until"])) if fields.get(b"paused_until") else None,
            last_date=date.fromisoformat(fields[b"last_date"].decode()) if fields.get(b"last_date") else None,
        )

    def exported(self) -> dict[str, Any]:
        """Return all that is stored about the subscriber, for the reader."""
        return {
            "address": self.address,
            "state": str(self.state),
            "topics": list(self.choices.topics),
            "cadence": str(self.choices.cadence),
            "hour": self.choices.hour,
            "weekday": self.choices.weekday,
            "time_zone": self.choices.zone,
            "language": self.language,
            "signed_up_at": rfc3339(self.created_at),
            "paused_until": rfc3339(self.paused_until) if self.paused_until else None,
            "last_digest": self.last_date.isoformat() if self.last_date else None,
            "consent": dict(self.consent),
        }


@dataclass(frozen=True, slots=True)
class Recipient:
    """What a mail needs of its subscriber. ``suppressed``: whether the address gets no mail."""

    id: str
    newsletter: str
    address: str
    state: SubscriberState
    language: str
    cadence: Cadence
    topics: tuple[str, ...]
    suppressed: bool


def read_choices(fields: Mapping[bytes, bytes]) -> Choices:
    """Read the choices in the record of a subscriber."""
    return Choices(
        cadence=Cadence(fields[b"cadence"].decode()),
        zone=fields[b"zone"].decode(),
        hour=int(fields[b"hour"]),
        weekday=int(fields[b"weekday"]),
        topics=tuple(orjson.loads(fields[b"topics"])),
    )
