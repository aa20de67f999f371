"""Heartbeats and ends of clients, by one wheel with injected clocks."""

import random
from itertools import pairwise

import pytest

from newswire.shared_parts import SharedPart
from newswire_notify.streaming.client_timers import ClientTimers
from newswire_notify.streaming.sse_client import EXPIRED, HEARTBEAT, SseClient

HEARTBEAT_SECONDS = 15.0


class Clock:
    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


class TimedBody:
    """Records when a part was written."""

    def __init__(self, clock: Clock) -> None:
        self.times: list[float] = []
        self.parts: list[SharedPart] = []
        self._clock = clock

    def write(self, part: SharedPart) -> bool:
        self.times.append(self._clock.now)
        self.parts.append(part)
        return True


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def timers(clock: Clock) -> ClientTimers:
    return ClientTimers(HEARTBEAT_SECONDS, clock=clock, wall_clock=clock)


def idle_client(timers: ClientTimers, clock: Clock, ends: float | None = None) -> tuple[SseClient, TimedBody]:
    body = TimedBody(clock)
    client = SseClient(10, ends=ends, body=body, idle=True)
    timers.add(client)
    return client, body


async def test_each_silent_client_gets_a_heartbeat_in_time_whatever_was_written_before(
    timers: ClientTimers, clock: Clock
) -> None:
    chance = random.Random(7)
    clients = [idle_client(timers, clock) for _ in range(50)]
    written: list[list[float]] = [[clock.now] for _ in clients]
    end = clock.now + 40 * HEARTBEAT_SECONDS
    while clock.now < end:
        clock.now += chance.choice((0.05, 0.2, 1.0))
        await timers.turn()
        for (client, _), times in zip(clients[::2], written[::2], strict=True):
            if chance.random() < 0.03:  # an event is written to it
                client.written_at = clock.now
                times.append(clock.now)
    late = 1.0 + 2 * HEARTBEAT_SECONDS / 64  # the longest step of the test, and a turn of the wheel
    for (_, body), times in zip(clients, written, strict=True):
        everything = sorted([*times, *body.times])
        pauses = [after - before for before, after in pairwise(everything)]
        assert max(pauses) <= HEARTBEAT_SECONDS + late
        for at in body.times:
            before = max(each for each in [*times, *body.times] if each < at)
            assert at - before >= HEARTBEAT_SECONDS - 1e-6
    assert {part.data for _, body in clients for part in body.parts} == {HEARTBEAT.data}
    assert {len(body.times) for _, body in clients[1::2]} <= {37, 38, 39, 40}


async def test_a_long_pause_of_the_process_leads_to_one_heartbeat(timers: ClientTimers, clock: Clock) -> None:
    _, body = idle_client(timers, clock)
    clock.now += 100 * HEARTBEAT_SECONDS
    await timers.turn()
    assert len(body.times) == 1
    clock.now += 1
    await timers.turn()
    assert len(body.times) == 1


async def test_a_client_whose_task_is_sending_gets_none(timers: ClientTimers, clock: Clock) -> None:
    client, body = idle_client(timers, clock)
    client.idle = False
    clock.now += 3 * HEARTBEAT_SECONDS
    await timers.turn()
    assert body.times == []
    assert not client.wakeup.is_set()


async def test_the_task_sends_the_heartbeat_where_the_body_refuses_it(timers: ClientTimers, clock: Clock) -> None:
    client = SseClient(10, idle=True)
    timers.add(client)
    clock.now += HEARTBEAT_SECONDS + 1
    await timers.turn()
    assert client.heartbeat_due
    assert client.wakeup.is_set()
    assert not client.idle


@pytest.mark.parametrize("heartbeat", [0.01, 0.2, 15, 3600])
async def test_removed_clients_are_forgotten(heartbeat: float, clock: Clock) -> None:
    timers = ClientTimers(heartbeat, clock=clock, wall_clock=clock)
    clients = [idle_client(timers, clock, ends=clock.now + 1e6)[0] for _ in range(20)]
    for step in range(200):
        clock.now += heartbeat / 7
        await timers.turn()
        if step % 10 == 9:
            timers.remove(clients.pop())
    assert not any(timers._wheel)
    assert not timers._expiring


def test_clients_end_when_their_access_ends(timers: ClientTimers, clock: Clock) -> None:
    ends = {end: idle_client(timers, clock, ends=end)[0] for end in (1_030.0, 1_010.0, 1_020.0, 900.0)}
    forever, _ = idle_client(timers, clock)
    for now, gone in (
        (1_000.0, {900.0}),
        (1_009.9, {900.0}),
        (1_010.0, {900.0, 1_010.0}),
        (1_025.0, {900, 1_010, 1_020}),
    ):
        clock.now = now
        timers.expire()
        assert {end for end, client in ends.items() if client.ended == EXPIRED} == gone
    assert forever.ended is None
    assert not ends[1_010.0].idle
