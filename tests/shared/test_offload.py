"""Processor-bound work off the event loop: bounded in queue and time, and killed if necessary."""

import asyncio
import os
import threading

import httpx
import pytest
from fastapi import FastAPI

from newswire.concurrency.lazy import lazy
from newswire.concurrency.offload import Deadline, DeadlineExceededError, Offload, QueueFullError
from newswire.concurrency.worker_process import LOWER_PRIORITY, WorkerKilledError, WorkerProcess
from newswire.http import problem_handlers
from newswire.text.analysis import read_article
from tests.polling import DEADLINE_SECONDS
from tests.search.samples import article


async def test_work_is_done_in_another_thread_and_its_errors_come_back() -> None:
    offload = Offload("test")
    assert await offload.run(lambda _: threading.get_ident()) != threading.get_ident()

    def fails(_: Deadline) -> None:
        raise KeyError("x")

    with pytest.raises(KeyError):
        await offload.run(fails)


async def test_the_queue_is_bounded() -> None:
    offload, go = Offload("test", workers=1, max_waiting=1), threading.Event()
    waiting = [asyncio.ensure_future(offload.run(lambda _: go.wait(DEADLINE_SECONDS))) for _ in range(2)]
    await asyncio.sleep(0)
    with pytest.raises(QueueFullError):
        await offload.run(lambda _: None)
    go.set()
    assert all(await asyncio.gather(*waiting))
    assert await offload.run(lambda _: 1) == 1


async def test_work_past_its_deadline_is_dropped_and_frees_its_place() -> None:
    offload, go = Offload("test", workers=1, max_waiting=0), threading.Event()

    def endless(deadline: Deadline) -> None:
        while not go.is_set():
            deadline.check()

    with pytest.raises(DeadlineExceededError):
        await offload.run(endless, 0.05)
    async with asyncio.timeout(DEADLINE_SECONDS):
        while True:
            try:
                assert await offload.run(lambda _: 1, DEADLINE_SECONDS) == 1
                break
            except QueueFullError:
                await asyncio.sleep(0.01)


async def test_the_analysis_of_a_long_text_ends_at_the_deadline() -> None:
    offload, read = Offload("test"), threading.Event()
    long = article("long", text=" ".join(f"word{number}" for number in range(5_000)))

    def analyse(deadline: Deadline) -> None:
        read_article(long)
        read.set()
        deadline._at = 0.0
        read_article(long)

    with pytest.raises(DeadlineExceededError):
        await offload.run(analyse)
    assert read.is_set()
    assert read_article(long)  # without a deadline


async def test_overload_is_a_503_with_retry_after() -> None:
    app = FastAPI()
    problem_handlers.install(app, {})

    @app.get("/")
    async def full() -> None:
        raise QueueFullError

    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://x") as http:
        answer = await http.get("/")
    assert (answer.status_code, answer.headers["content-type"]) == (503, "application/problem+json")
    assert int(answer.headers["retry-after"]) > 0
    assert answer.json()["title"] == "Overloaded"


def reverse(request: bytes) -> bytes:
    """Handle a request of the tests below."""
    if request == b"no expiry":
        while True:
            pass
    if request == b"niceness":
        return str(os.nice(0)).encode()
    if request == b"much":
        return b"x" * 2**40
    return request[::-1]


def test_a_worker_process_is_restarted_after_it_was_killed() -> None:
    worker = WorkerProcess("tests.shared.test_offload:reverse", 0.3, 2**31)
    try:
        assert worker.call(b"abc") == b"cba"
        assert worker.call(b"x" * 3_000_000) == b"x" * 3_000_000
        for request in (b"no expiry", b"much"):
            with pytest.raises(WorkerKilledError):
                worker.call(request)
            assert worker.call(b"abc") == b"cba"
    finally:
        worker.close()


def test_a_worker_process_has_a_lower_priority_than_its_service() -> None:
    worker = WorkerProcess("tests.shared.test_offload:reverse", 10, 2**31)
    try:
        assert int(worker.call(b"niceness")) == min(os.nice(0) + LOWER_PRIORITY, 19)
    finally:
        worker.close()


def test_a_lazy_attribute_is_computed_once_and_blocks_no_other_instance() -> None:
    computed: list[int] = []
    go = threading.Event()

    class Holder:
        def __init__(self, number: int) -> None:
            self.number = number

        @lazy
        def value(self) -> int:
            computed.append(self.number)
            if self.number == 1:
                go.wait(DEADLINE_SECONDS)
            return self.number * 10

    slow = threading.Thread(target=lambda: Holder(1).value)
    slow.start()
    quick = Holder(2)
    assert (quick.value, quick.value) == (20, 20)
    go.set()
    slow.join()
    assert sorted(computed) == [1, 2]
