"""Composes the mails to users: plain text and HTML, in four languages."""

import textwrap
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from importlib.resources import files

import orjson

from newswire.http.templating import templates
from newswire.text.direction import direction_of
from newswire.users.mail_requests import MailKind, MailRequest
from newswire.users.models import User
from newswire.validation.email_addresses import domain_of
from newswire_notify.newsletters.dkim import DkimSigner
from newswire_notify.newsletters.mail_composer import OutgoingMail
from newswire_notify.newsletters.message import Envelope, MailContent, compose, message_id
from newswire_notify.newsletters.rendering import PACKAGE as MAIL_FRAME
from newswire_notify.newsletters.rendering import readable_on
from newswire_notify.newsletters.texts import text_language

PACKAGE = "newswire_notify.user_mails"
_TEXT_COLUMNS = 72


@dataclass(frozen=True, slots=True)
class UserMailFrame:
    """What all mails to users share: who sends them, and how they look."""

    site: str
    site_name: str
    language: str
    colour: str
    sender: str
    signer: DkimSigner | None


def compose_user_mail(
    frame: UserMailFrame, request: MailRequest, user: User, link: str, recipient: str, now: datetime
) -> OutgoingMail:
    """Return a mail to a user. ``link``: what its button opens. It contains nothing that a stranger can choose."""
    content = render_user_mail(frame, request.kind, user.name, request.language or frame.language, link)
    identity = message_id("user mail", request.id, domain_of(frame.sender))
    signer = frame.signer if frame.signer is not None and frame.signer.covers(domain_of(frame.sender)) else None
    envelope = Envelope(frame.site_name, frame.sender, recipient, identity, now)
    return OutgoingMail(frame.sender, recipient, identity.strip("<>"), compose(envelope, content, None, signer))


def render_user_mail(frame: UserMailFrame, kind: MailKind, name: str, language: str, link: str) -> MailContent:
    """Return subject, text and HTML of a mail."""
    language = text_language(language)
    wording = _texts(language)
    filled = {part: wording[f"{kind}_{part}"].format(site=frame.site_name) for part in ("subject", "text", "closing")}
    greeting = wording["greeting"].format(name=name)
    html = (
        templates(PACKAGE, MAIL_FRAME)
        .get_template("user_mail.html")
        .render(
            name=frame.site_name,
            language=language,
            dir=direction_of(language),
            colour=frame.colour,
            on_colour=readable_on(frame.colour),
            logo_url=None,
            postal_address=None,
            subject=filled["subject"],
            preview=filled["text"],
            greeting=greeting,
            message=filled["text"],
            link=link,
            button_text=wording[f"{kind}_button"],
            closing=filled["closing"],
        )
    )
    paragraphs = [greeting, filled["text"], link, filled["closing"], f"{frame.site_name}\n{frame.site}"]
    text = "\n\n".join(
        each if each == link or "\n" in each else textwrap.fill(each, _TEXT_COLUMNS) for each in paragraphs
    )
    return MailContent(filled["subject"], f"{text}\n", html)


@cache
def _texts(language: str) -> dict[str, str]:
    found: dict[str, str] = orjson.loads(files(__package__).joinpath("texts", f"{language}.json").read_bytes())
    return found
