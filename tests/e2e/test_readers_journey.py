"""A reader from an article to the mailbox and out of it again: `newswire run`, a browser, a mail server, a clock that is moved."""

import email
import email.policy
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage
from pathlib import Path
from typing import cast
from zoneinfo import ZoneInfo

import httpx
import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session
from selenium.webdriver import Chrome
from selenium.webdriver.common.by import By
from selenium.webdriver.support.select import Select

from tests.cli.running import Running, newswire
from tests.e2e.test_websub import WebSubClient, websub_client
from tests.polling import DEADLINE_SECONDS, until
from tests.servers.browser import another_page, click, text_of
from tests.servers.moved_clock import MovedClock
from tests.servers.valkey import free_port

READER, OTHER = "reader@example.org", "other@example.org"
BERLIN = ZoneInfo("Europe/Berlin")
RETRACTED = "A pier that never was"
Mailbox = Callable[[], list[EmailMessage]]


def parsed(data: bytes) -> EmailMessage:
    return email.message_from_bytes(data, policy=email.policy.default)


def part(mail: EmailMessage, kind: str) -> str:
    return str(cast("EmailMessage", mail.get_body((kind,))).get_content())


class MailServer:
    """Accepts each mail."""

    def __init__(self) -> None:
        self.got: list[EmailMessage] = []

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        self.got.append(parsed(cast("bytes", envelope.content)))
        return "250 2.0.0 accepted"


@contextmanager
def mail_server() -> Iterator[tuple[str, Mailbox]]:
    """Run a mail server in a thread of its own; yield its URL and what it has."""
    server = MailServer()
    port = free_port()
    controller = Controller(server, hostname="127.0.0.1", port=port, ready_timeout=60)
    controller.start()
    try:
        yield f"smtp://127.0.0.1:{port}", lambda: list(server.got)
    finally:
        controller.stop()


class Journey:
    """A publisher, a reader with a browser, and the reader's mailbox."""

    def __init__(
        self, running: Running, clock: MovedClock, chromium: Chrome, mailbox: Mailbox, mail_page: Path
    ) -> None:
        self.running = running
        self.clock = clock
        self.chromium = chromium
        self._mailbox = mailbox
        self._mail_page = mail_page

    def mails(self, address: str = READER) -> list[EmailMessage]:
        """Return the mails to an address, the oldest first."""
        return sorted(
            (mail for mail in self._mailbox() if mail["To"] == address), key=lambda mail: mail["Date"].datetime
        )

    def mail(self, number: int, address: str = READER) -> EmailMessage:
        """Return the newest mail to an address once there are so many."""
        until(lambda: len(self.mails(address)) >= number, 60)
        found = self.mails(address)
        assert len(found) == number, [str(mail["Subject"]) for mail in found]
        assert RETRACTED not in part(found[-1], "plain") + part(found[-1], "html")
        return found[-1]

    def get(self, path: str) -> httpx.Response:
        return httpx.get(self.running.site + path, trust_env=False, follow_redirects=True)

    def publish(self, title: str, topic: str) -> tuple[str, str]:
        """Publish an article; return its id and its path once the site and the newsletter have it."""
        body = f"<p>{title}, and what the harbour says about it.</p>"
        draft = {"title": title, "body": body, "category": "Transport", "topics": [topic], "authors": ["Ada Quill"]}
        answer = httpx.post(
            f"{self.running.site}/v1/articles", json=draft, headers=self.running.key("PUBLISHER"), trust_env=False
        )
        assert answer.status_code == 201, answer.text
        until(lambda: title in self.get("/newsletters/ferries/archive").text and title in self.get("/live").text)
        return str(answer.json()["id"]), str(answer.json()["url"]).removeprefix(self.running.site)

    def retract(self, article: str) -> None:
        address = f"{self.running.site}/v1/articles/{article}"
        httpx.delete(address, headers=self.running.key("PUBLISHER"), trust_env=False).raise_for_status()

    def open_mail(self, mail: EmailMessage, link: str) -> None:
        """Open a mail as its reader does, and follow the link with a text."""
        if self.get("/mail").status_code == 200:
            self.chromium.get(f"{self.running.site}/mail")
            self.press(By.LINK_TEXT, str(mail["Subject"]))
            self.press(By.PARTIAL_LINK_TEXT, "HTML")
        else:
            self._mail_page.write_text(part(mail, "html"))
            self.chromium.get(self._mail_page.as_uri())
        address = self.chromium.find_element(By.LINK_TEXT, link).get_attribute("href")
        assert address
        self.chromium.get(address)

    def press(self, by: str, value: str) -> None:
        """Press a link or a button, and wait for the page that follows."""
        with another_page(self.chromium):
            click(self.chromium, self.chromium.find_element(by, value))

    def submit(self) -> None:
        self.press(By.CSS_SELECTOR, "main form[action*='/newsletters/'] button")

    def heading(self) -> str:
        return text_of(self.chromium, "main h1")

    def choose(self, cadence: str, hour: int) -> None:
        """Change what comes and when, on the page of preferences."""
        click(self.chromium, self.chromium.find_element(By.CSS_SELECTOR, f"[name=cadence][value={cadence}]"))
        Select(self.chromium.find_element(By.ID, "hour")).select_by_value(str(hour))
        self.submit()
        assert text_of(self.chromium, ".notice.good") == "Your preferences are saved."

    def sign_up(self, path: str, address: str) -> None:
        """Sign up in the box of an article with all of its topics."""
        until(lambda: "newsletter-email" in self.get(path).text)  # pages read the list of newsletters every two seconds
        self.chromium.get(self.running.site + path)
        for topic in self.chromium.find_elements(By.CSS_SELECTOR, ".newsletter-box [name=topics]"):
            if not topic.is_selected():
                click(self.chromium, topic)
        self.chromium.find_element(By.ID, "newsletter-email").send_keys(address)
        self.press(By.CSS_SELECTOR, ".newsletter-box button")
        chosen = self.chromium.find_elements(By.CSS_SELECTOR, "[name=topics]:checked")
        assert [each.get_attribute("value") for each in chosen] == ["Ferries", "Bridges"]
        self.clock.move(10)  # what a person takes to read the page
        self.submit()
        assert self.heading() == "Check your mailbox"

    def wait_for(self, hour: int, days: int = 0) -> None:
        """Move the clock to three minutes after the next such hour in Berlin, and as many days on."""
        now = datetime.fromtimestamp(self.clock.now(), UTC)
        local = now.astimezone(BERLIN).replace(hour=hour, minute=3, second=0, microsecond=0)
        while (passed := local.astimezone(UTC) - now) <= timedelta(0):
            local += timedelta(days=1)
        self.clock.move((passed + timedelta(days=days)).total_seconds())

    def one_click(self, mail: EmailMessage) -> None:
        """Unsubscribe as a mail program does (RFC 8058)."""
        assert mail["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
        address = re.fullmatch(r"<(https?://\S+)>", str(mail["List-Unsubscribe"]))
        assert address
        answer = httpx.post(address[1], data={"List-Unsubscribe": "One-Click"}, trust_env=False)
        assert (answer.status_code, answer.history, "set-cookie" in answer.headers) == (200, [], False)


@contextmanager
def journey(tmp_path: Path, chromium: Chrome, *, server: bool) -> Iterator[Journey]:
    clock = MovedClock(tmp_path / "clock")
    data_dir = tmp_path / "data"
    folder = data_dir / "mail"

    def written() -> list[EmailMessage]:
        return [parsed(file.read_bytes()) for file in folder.glob("*.eml")]

    @contextmanager
    def written_mails() -> Iterator[tuple[str, Mailbox]]:
        yield "", written

    with mail_server() if server else written_mails() as (url, mailbox):
        environment = {"NEWSWIRE_MAIL_JITTER": "0m"} | ({"NEWSWIRE_SMTP_URL": url} if url else {})
        running = Running(data_dir, "--no-samples", command=clock.command, environment=environment)
        try:
            running.until_ready()
            yield Journey(running, clock, chromium, mailbox, tmp_path / "mail.html")
        finally:
            running.process.terminate()
            running.process.wait(DEADLINE_SECONDS)


def create_newsletter(running: Running) -> None:
    """Create the newsletter with the command that the documentation shows first."""
    options = ["--name", "Ferry News", "--description", "What moves on the water.", "--sender", "news@harbour.example"]
    options += ["--topic", "Ferries", "--topic", "Bridges", "--zone", "Europe/Berlin"]
    made = newswire(
        "newsletters", "create", "ferries", *options, "--site", running.site, "--data-dir", str(running.data_dir)
    )
    assert made.stdout.strip() == f"{running.site}/newsletters/ferries", made.stderr


def assert_retracted(told: Journey, path: str, client: WebSubClient) -> None:
    """Check that no page, archive, feed or push has the retracted article."""
    places = ["/", "/live", "/sections/Transport", "/topics/Ferries", "/authors/Ada%20Quill", "/search?q=pier"]
    places += ["/newsletters/ferries/archive", "/newsletters/ferries/archive.atom", "/v1/search?q=pier"]
    places += [f"/feeds/{name}" for name in ("latest.atom", "latest.xml", "latest.json", "category/Transport.atom")]
    places += ["/sitemap-news.xml"]

    def gone() -> list[str]:
        return [place for place in places if RETRACTED in told.get(place).text]

    until(lambda: not gone())
    assert told.get(path).status_code == 410
    assert {told.get(place).status_code for place in places} == {200}
    until(lambda: RETRACTED not in client.contents[-1])


@pytest.mark.timeout(300)
@pytest.mark.parametrize("server", [False, True], ids=["mails at /mail", "mail server"])
def test_a_reader_signs_up_gets_mail_and_leaves(tmp_path: Path, chromium: Chrome, server: bool) -> None:
    with websub_client() as client, journey(tmp_path, chromium, server=server) as told:
        create_newsletter(told.running)
        hub, topic = client.discover(f"{told.running.site}/feeds/latest.atom")
        client.subscribe(hub, topic)
        _, article = told.publish("Before the reader came", "Ferries")
        told.sign_up(article, READER)
        confirmation = told.mail(1)
        assert confirmation["Subject"] == "Please confirm: Ferry News"
        told.open_mail(confirmation, "To the confirmation")
        told.submit()
        assert told.heading() == "You are subscribed"
        told.press(By.CSS_SELECTOR, "main a[href*='/preferences/']")
        told.choose("instant", 7)

        told.publish("The night ferry is back", "Ferries")
        alert = told.mail(2)
        assert alert["Subject"] == "The night ferry is back"
        told.open_mail(alert, "Preferences")
        told.choose("daily", 7)

        retracted, gone = told.publish(RETRACTED, "Ferries")
        told.publish("The swing bridge opens", "Bridges")
        until(lambda: RETRACTED in client.contents[-1])
        told.retract(retracted)
        assert_retracted(told, gone, client)
        told.wait_for(7)
        digest = told.mail(3)
        assert digest["Subject"] == "Ferry News: The swing bridge opens"
        assert "The night ferry is back" not in part(digest, "plain")
        told.open_mail(digest, "Preferences")
        told.choose("daily", 20)

        told.publish("Two captains retire", "Ferries")
        told.wait_for(20)
        if len(told.mails()) == 3:  # it is less than twelve hours since the change, or the date has had its digest
            told.wait_for(20)
        evening = told.mail(4)
        assert evening["Subject"] == "Ferry News: Two captains retire"

        told.one_click(evening)
        told.open_mail(evening, "Preferences")
        assert told.heading() == "You are unsubscribed"
        told.sign_up(article, OTHER)
        told.open_mail(told.mail(1, OTHER), "To the confirmation")
        told.submit()
        told.publish("What the reader does not get", "Ferries")
        told.wait_for(7, days=1)
        told.mail(2, OTHER)  # the mails of that digest went out
        assert len(told.mails()) == 4
        assert_retracted(told, gone, client)
