"""`newswire newsletters`: create newsletters, bring lists of subscribers in and out, erase readers, make a key for signatures."""

import csv
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from newswire_cli.client.http import (
    DEFAULT_DATA_DIR,
    DEFAULT_SITE,
    Site,
    SubscriberKey,
    open_client,
    request_json,
)
from newswire_cli.client.http import DataDir as HttpDataDir
from newswire_cli.client.redis import DataDir, with_stores
from newswire_cli.importing.subscriber_files import UnreadableFileError, inert, read_subscriber_file
from newswire_cli.terminal.console import fail, note, say
from newswire_cli.terminal.json_output import Json, print_json
from newswire_cli.terminal.tables import Record, member, print_records
from newswire_operations.stores import Stores

if TYPE_CHECKING:
    from newswire_notify.newsletters.models import Newsletter
    from newswire_notify.newsletters.service import NewsletterService
    from newswire_notify.newsletters.subscribers import Subscribers

app = typer.Typer(help="Newsletters and their subscribers.", no_args_is_help=True)

Slug = Annotated[str, typer.Argument(metavar="SLUG", help="The slug of the newsletter.")]


@app.command()
def create(
    slug: Slug,
    name: Annotated[str, typer.Option(help="Its name, as readers see it.")],
    description: Annotated[str, typer.Option(help="One or two sentences that readers see before they sign up.")],
    sender: Annotated[str, typer.Option(help="The address that mails come from.")],
    sender_name: Annotated[str | None, typer.Option(help="Who mails come from.", show_default="the name")] = None,
    topic: Annotated[
        list[str] | None, typer.Option(help="A topic of articles that readers can choose; may be repeated.")
    ] = None,
    language: Annotated[str, typer.Option(help="The language of the texts around the articles.")] = "en",
    zone: Annotated[str, typer.Option(help="The time zone of readers who choose none.")] = "UTC",
    site: Site = DEFAULT_SITE,
    key: SubscriberKey = None,
    data_dir: HttpDataDir = DEFAULT_DATA_DIR,
) -> None:
    """Create a newsletter over all articles, and print the address of its page."""
    topics = [{"label": each, "filter": {"topics": [each]}} for each in topic or []]
    document: dict[str, Any] = {
        "slug": slug,
        "name": name,
        "description": description,
        "sender": {"name": sender_name or name, "address": sender},
        "topics": topics,
        "language": language,
        "time_zone": zone,
    }
    with open_client(site, key, data_dir, "NEWSWIRE_SUBSCRIBER_KEY") as client:
        say(request_json(client, "POST", "/v1/newsletters", json=document)["url"])


@app.command("list")
def list_(
    json: Json = False, site: Site = DEFAULT_SITE, key: SubscriberKey = None, data_dir: HttpDataDir = DEFAULT_DATA_DIR
) -> None:
    """List the newsletters of the account, with the number of active subscribers."""
    with open_client(site, key, data_dir, "NEWSWIRE_SUBSCRIBER_KEY") as client:
        found: list[Record] = request_json(client, "GET", "/v1/newsletters")["newsletters"]
    columns = {
        "slug": member("slug"),
        "name": member("name"),
        "status": member("status"),
        "active": lambda record: str(record["subscribers"].get("active", 0)),
        "url": member("url"),
    }
    print_records(found, columns, as_json=json)


@app.command("import")
def import_(
    slug: Slug,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A CSV file.", dir_okay=False, exists=True)],
    json: Json = False,
    data_dir: DataDir = None,
) -> None:
    """Add subscribers from a CSV file with the columns email, consent_at (RFC 3339) and consent_source.

    Optional columns: state, topics (separated by ;), cadence, hour, weekday, zone, language. They are subscribed at once and get no
    confirmation; who unsubscribed, bounced, complained or was erased is left out. A row with such a state keeps its address out of
    later imports.
    """

    async def work(stores: Stores) -> Any:
        from newswire.observability.audit import COMMAND_LINE
        from newswire_notify.newsletters.transfer import COLUMNS

        newsletter, _, service = await _found(stores, slug)
        columns, rows = read_subscriber_file(file)
        if ignored := [name for name in columns if name and name not in COLUMNS]:
            note(f"columns that are not used: {', '.join(ignored)}")
        return await service.import_readers(newsletter, rows, file.name, by=COMMAND_LINE)

    try:
        report = with_stores(data_dir, work, writes=True)
    except UnreadableFileError as error:
        fail(str(error))
    if json:
        print_json({"counts": dict(report.counts), "problems": report.problems})
    else:
        for problem in report.problems:
            say(problem)
        names = ("imported", "known", "suppressed", "invalid")
        say(", ".join(f"{report.counts[name]:,} {name}" for name in names))
    if report.counts["invalid"]:
        raise typer.Exit(1)


@app.command()
def export(slug: Slug, data_dir: DataDir = None) -> None:
    """Print all subscribers as CSV, whatever their state, in the columns that `import` reads."""

    async def work(stores: Stores) -> None:
        from newswire.observability.audit import COMMAND_LINE
        from newswire_notify.newsletters.transfer import COLUMNS

        newsletter, _, service = await _found(stores, slug)
        writer = csv.DictWriter(sys.stdout, COLUMNS, lineterminator="\n")
        writer.writeheader()
        async for row in service.export_readers(newsletter, by=COMMAND_LINE):
            writer.writerow({name: inert(value) for name, value in row.items()})

    with_stores(data_dir, work, writes=True)


@app.command()
def erase(
    slug: Slug,
    email: Annotated[str, typer.Argument(metavar="EMAIL", help="The address of the reader.")],
    data_dir: DataDir = None,
) -> None:
    """Delete all that is stored of a reader but a keyed hash, which keeps the address from being imported again."""

    async def work(stores: Stores) -> bool:
        from newswire.observability.audit import COMMAND_LINE
        from newswire.validation.email_addresses import InvalidAddressError, check_address

        newsletter, subscribers, service = await _found(stores, slug)
        try:
            subscriber = await subscribers.by_address(newsletter, check_address(email))
        except InvalidAddressError as error:
            fail(str(error))
        return subscriber is not None and await service.erase_reader(newsletter, subscriber, by=COMMAND_LINE)

    if not with_stores(data_dir, work, writes=True):
        fail(f"{slug} has no subscriber {email}")
    say(f"{email} is erased")


@app.command("dkim-key")
def dkim_key(
    domain: Annotated[str, typer.Argument(metavar="DOMAIN", help="The domain that mails come from.")],
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The file that gets the private key.", dir_okay=False)],
    selector: Annotated[str, typer.Option(help="The name of the key in DNS; a new key needs a new one.")] = "newswire",
) -> None:
    """Make a key that signs mails, and print the DNS record and the settings that go with it."""
    import os

    from newswire_notify.newsletters.dkim import new_key

    private, record = new_key()
    try:
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as error:
        fail(f"cannot write {file}: {error.strerror or error}")
    with open(descriptor, "w") as opened:  # noqa: PTH123 (with a mode)
        opened.write(private)
    parts = " ".join(f'"{record[at : at + 250]}"' for at in range(0, len(record), 250))
    say(f"{selector}._domainkey.{domain}. TXT {parts}")
    say()
    say(f"NEWSWIRE_DKIM_DOMAIN={domain}")
    say(f"NEWSWIRE_DKIM_SELECTOR={selector}")
    say(f"NEWSWIRE_DKIM_PRIVATE_KEY_FILE={file.resolve()}")


async def _found(stores: Stores, slug: str) -> "tuple[Newsletter, Subscribers, NewsletterService]":
    from newswire_notify.newsletters.repository import Newsletters
    from newswire_notify.newsletters.service import NewsletterService
    from newswire_notify.newsletters.subscribers import Subscribers

    newsletters = Newsletters(stores.deliveries, stores.keys)
    newsletter = await newsletters.by_slug(slug)
    if newsletter is None or newsletter.deleted:
        fail(f"there is no newsletter {slug}; `newswire newsletters list` lists yours")
    subscribers = Subscribers(newsletters)
    return newsletter, subscribers, NewsletterService(newsletters, subscribers, stores.redis, stores.keys)
