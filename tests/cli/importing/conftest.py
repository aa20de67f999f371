from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.cli.running import Running
from tests.polling import DEADLINE_SECONDS


@contextmanager
def newswire_run(folder: Path) -> Iterator[Running]:
    running = Running(folder, "--no-samples")
    try:
        yield running
    finally:
        running.process.terminate()
        running.process.wait(DEADLINE_SECONDS)


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """One Newswire for all tests of a file."""
    with newswire_run(tmp_path_factory.mktemp("here") / "data") as running:
        yield running


@pytest.fixture
def elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """Another Newswire, with nothing in it at the beginning of each test."""
    with newswire_run(tmp_path_factory.mktemp("elsewhere") / "data") as running:
        yield running
