"""Runs `newswire` as its users do, in separate processes."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import httpx

from tests.polling import DEADLINE_SECONDS
from tests.servers.valkey import free_port

T = TypeVar("T")
START_DEADLINE = 240
NEWSWIRE = [sys.executable, "-m", "newswire_cli.main"]
# Some images set PYTHONDONTWRITEBYTECODE: each process would compile all its modules again.
BARE = {
    name: value
    for name, value in os.environ.items()
    if not name.startswith("NEWSWIRE_") and name != "PYTHONDONTWRITEBYTECODE"
}


@contextmanager
def interruptible() -> Iterator[None]:
    """Let child processes end at SIGINT, even if this process ignores it, as background jobs do."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


class Running:
    """A running `newswire run`, on a port that no connection takes while it is restarted."""

    def __init__(
        self,
        data_dir: Path,
        *options: str,
        command: Sequence[str] = NEWSWIRE,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.data_dir = data_dir
        self.output = data_dir.parent / f"{data_dir.name}.output"
        with self.output.open("wb") as output, interruptible():
            self.process = subprocess.Popen(
                [*command, "run", "--port", str(free_port()), "--data-dir", str(data_dir), *options],
                stdout=output,
                stderr=subprocess.STDOUT,
                env=BARE | dict(environment or {}),
                start_new_session=True,
            )
        self.site = self.until(lambda: self._site())

    @property
    def told(self) -> str:
        return self.output.read_text()

    def _site(self) -> str | None:
        for line in self.told.splitlines():
            if line.startswith("Newswire runs at "):
                return line.removeprefix("Newswire runs at ").split()[0]
        return None

    def until(self, found: Callable[[], T | None]) -> T:
        deadline = time.monotonic() + START_DEADLINE
        while (value := found()) is None:
            assert self.process.poll() is None, self.told
            assert time.monotonic() < deadline, self.told
            time.sleep(0.02)
        return value

    def until_told(self, text: str) -> str:
        return self.until(lambda: self.told if text in self.told else None)

    def until_ready(self) -> None:
        """Wait until every part is ready: the filters of subscriptions are loaded after the first response."""
        deadline = time.monotonic() + START_DEADLINE
        while (answer := self.get("/status")).status_code != 200:
            assert time.monotonic() < deadline, answer.text
            time.sleep(0.05)

    def credentials(self) -> dict[str, str]:
        lines = (self.data_dir / "credentials.env").read_text().splitlines()
        return dict(line.split("=", 1) for line in lines)

    def key(self, name: str) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.credentials()[f'NEWSWIRE_{name}_KEY']}"}

    def get(self, path: str) -> httpx.Response:
        return httpx.get(self.site + path, timeout=DEADLINE_SECONDS, trust_env=False)

    def interrupt(self) -> int:
        """Do what Ctrl-C does in a terminal: send SIGINT to the whole process group."""
        os.killpg(self.process.pid, signal.SIGINT)
        return self.process.wait(DEADLINE_SECONDS)


def newswire(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*NEWSWIRE, *arguments], capture_output=True, text=True, timeout=60, env=BARE | environment)
