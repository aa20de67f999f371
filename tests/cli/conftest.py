from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.cli.running import Running
from tests.polling import DEADLINE_SECONDS

Start = Callable[..., Running]


@pytest.fixture
def start() -> Iterator[Start]:
    """Start `newswire run` on a folder, any number of times; processes that still run at the end are killed."""
    all_started: list[Running] = []

    def start_one(data_dir: Path, *options: str) -> Running:
        all_started.append(Running(data_dir, *options))
        return all_started[-1]

    yield start_one
    for running in all_started:
        with suppress(ProcessLookupError):
            if running.process.poll() is None:
                running.process.terminate()
                running.process.wait(DEADLINE_SECONDS)
