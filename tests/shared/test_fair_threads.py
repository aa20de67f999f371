"""Clients take turns for threads, and no client uses all of them while others are active."""

import threading
from collections.abc import Callable
from concurrent.futures import Future

from newswire.concurrency.fair_threads import ACTIVE_SECONDS, FairThreads, current_client

DEADLINE = 120


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def submit(threads: FairThreads, client: str, work: Callable[[], object]) -> "Future[object]":
    token = current_client.set(client)
    try:
        return threads.submit(work)
    finally:
        current_client.reset(token)


def test_work_runs_in_the_context_of_its_client() -> None:
    threads = FairThreads("test", 2)
    assert submit(threads, "a", current_client.get).result(DEADLINE) == "a"
    threads.close()


def test_a_single_client_uses_every_thread() -> None:
    threads, both = FairThreads("test", 2), threading.Barrier(2)
    pair = [submit(threads, "a", lambda: both.wait(DEADLINE)) for _ in range(2)]
    assert {done.result(DEADLINE) for done in pair} == {0, 1}
    threads.close()


def test_one_thread_is_left_for_others_while_they_are_active() -> None:
    clock = Clock()
    threads, go = FairThreads("test", 2, clock), threading.Event()
    submit(threads, "reader", lambda: None).result(DEADLINE)
    greedy = [submit(threads, "greedy", lambda: go.wait(DEADLINE)) for _ in range(8)]
    assert submit(threads, "reader", lambda: "served").result(DEADLINE) == "served"
    assert not any(done.done() for done in greedy)
    go.set()
    assert all(done.result(DEADLINE) for done in greedy)
    clock.now += ACTIVE_SECONDS + 1
    both = threading.Barrier(2)
    pair = [submit(threads, "greedy", lambda: both.wait(DEADLINE)) for _ in range(2)]
    assert {done.result(DEADLINE) for done in pair} == {0, 1}
    threads.close()


def test_clients_take_turns_for_one_thread() -> None:
    threads, go, order = FairThreads("test", 1), threading.Event(), list[str]()
    submit(threads, "first", lambda: go.wait(DEADLINE))
    waiting = [submit(threads, name, lambda name=name: order.append(name)) for name in ("a", "a", "a", "b", "c")]  # type: ignore[misc]
    go.set()
    for done in waiting:
        done.result(DEADLINE)
    assert order == ["a", "b", "c", "a", "a"]
    threads.close()


def test_closing_waits_for_all_work_and_errors_reach_the_callers() -> None:
    threads = FairThreads("test", 1)
    failing = submit(threads, "a", lambda: 1 / 0)
    last = submit(threads, "a", lambda: "done")
    cancelled = submit(threads, "a", lambda: "never")
    was_waiting = cancelled.cancel()
    threads.close()
    assert isinstance(failing.exception(0), ZeroDivisionError)
    assert last.result(0) == "done"
    assert cancelled.cancelled() is was_waiting
