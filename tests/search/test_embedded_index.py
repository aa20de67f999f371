"""Behaviour of the embedded index alone."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from newswire.messaging.messages import DependencyUnavailableError
from newswire_search.index.embedded.index import EmbeddedIndex
from newswire_search.index.embedded.search import MAX_SNAPSHOTS, MAX_SNAPSHOTS_PER_READER
from newswire_search.index.models import IndexInUseError, SearchRequest, SnapshotExpiredError
from newswire_search.index.snapshots import SNAPSHOT_IDLE_SECONDS, SNAPSHOT_MAX_SECONDS
from tests.search.samples import found, publish, put, request


async def test_written_articles_survive_a_restart(tmp_path: Path) -> None:
    index = EmbeddedIndex(tmp_path)
    await put(index, publish("a1", "Ferry"))
    await index.close()
    again = EmbeddedIndex(tmp_path)
    assert await found(again, "ferry") == ["a1"]
    await again.close()


async def test_second_process_reports_in_one_line_that_the_index_is_in_use(tmp_path: Path) -> None:
    index = EmbeddedIndex(tmp_path)
    script = (
        "import sys; from pathlib import Path; from newswire_search.index.embedded.index import EmbeddedIndex;"
        "from newswire_search.index.models import IndexInUseError\n"
        "try: EmbeddedIndex(Path(sys.argv[1]))\n"
        "except IndexInUseError as error: sys.exit(str(error))"
    )
    second = subprocess.run([sys.executable, "-c", script, str(tmp_path)], capture_output=True, text=True, check=False)
    assert second.returncode == 1
    assert second.stderr.strip().count("\n") == 0
    assert "another process" in second.stderr
    with pytest.raises(IndexInUseError):
        EmbeddedIndex(tmp_path)
    await index.close()


async def test_second_pages_of_one_state_of_the_index_share_a_snapshot(embedded_index: EmbeddedIndex) -> None:
    await put(embedded_index, *(publish(f"a{n}", "Ferry boat") for n in range(3)))
    pages = []
    for n in range(2 * MAX_SNAPSHOTS):
        asked = request(("ferry", "boat")[n % 2], limit=1, snapshot_owner=f"r{n}")
        second = replace(asked, after=(await embedded_index.search(asked)).next)
        pages.append((asked, await embedded_index.search(second)))
    for asked, page in pages:
        assert len((await embedded_index.search(replace(asked, after=page.next))).articles) == 1


async def test_a_reader_who_opens_many_snapshots_ends_its_own_cursors_alone(embedded_index: EmbeddedIndex) -> None:
    await put(embedded_index, *(publish(f"a{n}", "Ferry") for n in range(3)))

    async def second_page(reader: str) -> SearchRequest:
        asked = request("ferry", limit=1, snapshot_owner=reader)
        page = await embedded_index.search(replace(asked, after=(await embedded_index.search(asked)).next))
        return replace(asked, after=page.next)

    others = [await second_page(f"other {n}") for n in range(5)]
    own = []
    for n in range(2 * MAX_SNAPSHOTS):
        await put(embedded_index, publish("b", f"Storm {n}", version=n + 1))
        own.append(await second_page("greedy"))
    for third in others:
        assert len((await embedded_index.search(third)).articles) == 1
    with pytest.raises(SnapshotExpiredError):
        await embedded_index.search(own[0])
    assert len((await embedded_index.search(own[-1])).articles) == 1
    assert len(embedded_index._search.snapshots) <= MAX_SNAPSHOTS_PER_READER + 5


async def test_snapshot_expires_when_idle_and_after_its_maximum_age(tmp_path: Path) -> None:
    now = 0.0
    index = EmbeddedIndex(tmp_path, clock=lambda: now)
    await put(index, *(publish(f"a{n}", "Ferry") for n in range(3)))
    asked = request("ferry", limit=1)
    first = await index.search(asked)
    third = replace(asked, after=(await index.search(replace(asked, after=first.next))).next)
    while now + SNAPSHOT_IDLE_SECONDS - 1 < SNAPSHOT_MAX_SECONDS:
        now += SNAPSHOT_IDLE_SECONDS - 1
        assert len((await index.search(third)).articles) == 1
    now = SNAPSHOT_MAX_SECONDS + 1
    with pytest.raises(SnapshotExpiredError):
        await index.search(third)
    third = replace(asked, after=(await index.search(replace(asked, after=first.next))).next)
    now += SNAPSHOT_IDLE_SECONDS + 1
    with pytest.raises(SnapshotExpiredError):
        await index.search(third)
    await index.close()


async def test_many_small_commits_leave_one_of_each_article(embedded_index: EmbeddedIndex) -> None:
    for version in range(1, 40):
        await put(embedded_index, publish("a1", f"Ferry {version}", version=version), publish(f"b{version}", "Boat"))
    assert await found(embedded_index, "ferry") == ["a1"]
    assert len(await found(embedded_index, "boat", limit=100)) == 39


class _FullDisk:
    """A writer whose disk is full."""

    def delete_documents_by_term(self, field: str, value: str) -> None: ...

    def add_document(self, document: object) -> None: ...

    def commit(self) -> None:
        raise ValueError("An IO error occurred: 'No space left on device (os error 28)'")


async def test_full_disk_delays_writes_and_loses_nothing(embedded_index: EmbeddedIndex) -> None:
    await put(embedded_index, publish("a1", "Ferry"))
    embedded_index._writer = _FullDisk()  # type: ignore[assignment]
    with pytest.raises(DependencyUnavailableError, match="No space left"):
        await embedded_index.write([publish("a2", "Ferry")])
    assert await embedded_index.check() is not None
    assert await found(embedded_index, "ferry") == ["a1"]
    await put(embedded_index, publish("a2", "Ferry"))
    assert await embedded_index.check() is None
    assert sorted(await found(embedded_index, "ferry")) == ["a1", "a2"]
