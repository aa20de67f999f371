"""Where mails go if no mail server is configured: each to a file in the data folder."""

import asyncio
import os
import re
import secrets
from pathlib import Path

from newswire_notify.newsletters.mail_composer import OutgoingMail
from newswire_notify.newsletters.outcome import Reply, Stage

MAIL_FOLDER = "mail"
_FILE_NAME = re.compile(r"[^A-Za-z0-9]")


def can_hold_mails(data_dir: Path) -> bool:
    """Return whether mails can be written to the data folder: the file system of a container may be read-only."""
    folder = data_dir / MAIL_FOLDER
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError:
        return False
    return os.access(folder, os.W_OK)


class MailFolder:
    """Writes each mail to a file, under a name that its Message-ID decides: a repeat replaces it."""

    def __init__(self, data_dir: Path) -> None:
        self._folder = data_dir / MAIL_FOLDER

    async def send(self, mail: OutgoingMail, following: OutgoingMail | None = None) -> Reply:
        """Write a mail; the file appears complete."""
        try:
            await asyncio.to_thread(self._write, mail)
        except OSError as error:
            return Reply(Stage.CONNECT, 0, f"{self._folder} cannot be written: {error.strerror or error}")
        return Reply(Stage.CONTENT, 250, "written")

    async def drop(self) -> None:
        """Nothing is open."""

    async def close(self) -> None:
        """Nothing is open."""

    def _write(self, mail: OutgoingMail) -> None:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        name = _FILE_NAME.sub("", mail.message_id.partition("@")[0])[:40]
        temporary = self._folder / f".{name}.{secrets.token_hex(4)}"
        with open(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:  # noqa: PTH123 (with a mode)
            file.write(mail.data)
        temporary.replace(self._folder / f"{name}.eml")
