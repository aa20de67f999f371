"""The data folder of `newswire run`: its lock, and the credentials that the first start creates."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from redis.asyncio import Redis

    from newswire.keys import Keyspace

CREDENTIALS = "credentials.env"
ACCOUNTS = {
    "publisher": ("gazette", "publish"),
    "subscriber": ("subscriber", "subscribe"),
    "admin": ("admin", "admin"),
    "read": ("reader", "read"),
}
"""Name of the key → its account and its scope."""


class DataFolderInUseError(Exception):
    """Another process uses the data folder."""


@contextmanager
def lock_data_folder(data_dir: Path) -> Iterator[None]:
    """Hold the lock of the folder. The kernel releases it when the process ends, however it ends.

    Raises:
        DataFolderInUseError: another process holds it.
    """
    data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    with (data_dir / "lock").open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise DataFolderInUseError(str(data_dir)) from None
        yield


def read_credentials(data_dir: Path) -> dict[str, str]:
    """Return the keys of the credentials file by variable name; empty if there is no file."""
    path = data_dir / CREDENTIALS
    if not path.exists():
        return {}
    lines = (line.partition("=") for line in path.read_text().splitlines())
    return {name: value for name, equals, value in lines if equals and not name.startswith("#")}


async def ensure_credentials(redis: "Redis", keys: "Keyspace", data_dir: Path) -> dict[str, str]:
    """Return the keys to publish, subscribe, administer and read; create them on the first start.

    Only the owner of the file can read it. If the store was deleted but the file was not, its keys are created again.
    """
    from newswire.auth.api_keys import create_key, list_keys
    from newswire.auth.credentials import Scope

    known = read_credentials(data_dir)
    variables = {f"NEWSWIRE_{name.upper()}_KEY": ACCOUNTS[name] for name in ACCOUNTS}
    stored = bool(known and await list_keys(redis, keys, limit=1))
    if stored and known.keys() >= variables.keys():
        return known
    credentials = dict(known)
    for variable, (account, scope) in variables.items():
        if stored and variable in known:
            continue
        label = "made on the first start"
        created = await create_key(redis, keys, account, {Scope(scope)}, label=label, token=known.get(variable))
        credentials[variable] = created.token
    _write_privately(data_dir / CREDENTIALS, "".join(f"{name}={token}\n" for name, token in credentials.items()))
    return credentials


def _write_privately(path: Path, text: str) -> None:
    unfinished = path.with_name(f"{path.name}.unfinished")
    unfinished.unlink(missing_ok=True)
    with os.fdopen(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
    unfinished.rename(path)
