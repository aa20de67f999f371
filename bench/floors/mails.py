"""The floors of newsletters: mails are built, signed and sent without a queue. ``PORT SMTP_URL KEY_FILE CONNECTIONS``.

``POST /pipelined/<count>`` sends over Newswire's own client, ``POST /aiosmtplib/<count>`` over aiosmtplib. Both return how many
mails a second the server took.
"""

import asyncio
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import uvicorn
from aiosmtplib import SMTP
from fastapi import FastAPI
from yarl import URL

from newswire.http.application import run
from newswire_notify.newsletters.dkim import DkimSigner
from newswire_notify.newsletters.items import ChosenItems, Item
from newswire_notify.newsletters.mail_composer import OutgoingMail
from newswire_notify.newsletters.message import ListHeaders, MailTemplate, message_id
from newswire_notify.newsletters.models import Newsletter, NewsletterDraft, Sender
from newswire_notify.newsletters.rendering import NewsletterLinks, ReaderLinks, render_articles
from newswire_notify.newsletters.transport import MESSAGES_PER_CONNECTION, SmtpTransport

UNSUBSCRIBE, PREFERENCES = "markerofunsubscribing", "markerofpreferences"
SITE = "https://news.example/newsletters/ferries"
TOKEN = "x" * 190
"""About as long as the tokens of links."""


def template(key: str) -> MailTemplate:
    """Return what the mails share: an alert about one article."""
    sender = Sender(name="Harbour Post", address="news@harbour.example")
    draft = NewsletterDraft(slug="ferries", name="Ferry News", description="What moves on the water.", sender=sender)
    newsletter = Newsletter("nl_1", "Harbour Post", "1", datetime.now(UTC), draft)
    item = Item("a1", 1, "The ferry leaves", SITE, "It leaves on time. " * 45, "Ida", "en", "2026-11-26", "")
    reader = ReaderLinks(UNSUBSCRIBE, PREFERENCES)
    content = render_articles(newsletter, ChosenItems((item,)), NewsletterLinks(SITE, SITE), reader, single=True)
    lists = ListHeaders("ferries.news.example", "Ferry News", UNSUBSCRIBE, SITE, sender.address, SITE, "a:b:c:newswire")
    signer = DkimSigner(key, "harbour.example", "a1")
    return MailTemplate((sender.name, sender.address), None, content, lists, signer, (UNSUBSCRIBE, PREFERENCES))


def mail(made: MailTemplate, number: int) -> OutgoingMail:
    """Return the mail of one reader."""
    identity = message_id("issue", str(number), "harbour.example")
    recipient = f"r{number}@d{number % 50}.example"
    links = {UNSUBSCRIBE: f"{SITE}/unsubscribe/{TOKEN}", PREFERENCES: f"{SITE}/preferences/{TOKEN}"}
    data = made.filled(recipient, identity, datetime.now(UTC), links)
    return OutgoingMail("news@harbour.example", recipient, identity, data)


async def pipelined(url: str, made: MailTemplate, numbers: range) -> None:
    """Send mails over one connection."""
    transport = SmtpTransport(url, local_hostname="news.example")
    current = mail(made, numbers[0])
    for number in numbers:
        following = mail(made, number + 1) if number + 1 in numbers else None
        reply = await transport.send(current, following)
        if reply.code != 250:
            raise RuntimeError(f"the sink answered {reply}")
        if following is not None:
            current = following
    await transport.close()


async def by_aiosmtplib(url: str, made: MailTemplate, numbers: range) -> None:
    """Send mails over one connection, as a program with that library does."""
    parts = URL(url)
    for first in range(0, len(numbers), MESSAGES_PER_CONNECTION):
        async with SMTP(hostname=parts.host or "", port=parts.port, start_tls=False) as client:
            for number in numbers[first : first + MESSAGES_PER_CONNECTION]:
                each = mail(made, number)
                await client.sendmail(each.sender, [each.recipient], each.data)


async def serve(port: int, url: str, key: Path, connections: int) -> None:
    """Serve until stopped."""
    made = template(key.read_text())
    app = FastAPI()
    ways = {"pipelined": pipelined, "aiosmtplib": by_aiosmtplib}

    @app.post("/{way}/{count}")
    async def send(way: str, count: int) -> float:
        began, each = time.perf_counter(), count // connections
        await asyncio.gather(
            *(ways[way](url, made, range(at * each, (at + 1) * each)) for at in range(connections) if each)
        )
        return each * connections / (time.perf_counter() - began)

    await uvicorn.Server(uvicorn.Config(app, port=port, log_level="error", lifespan="off")).serve()


if __name__ == "__main__":
    run(serve(int(sys.argv[1]), sys.argv[2], Path(sys.argv[3]), int(sys.argv[4])))
