"""Renames all keys of an installation, for another namespace: into a hash tag, before its Redis becomes a cluster, and back.

A rename moves no data: the largest stream keeps its entries, groups and what is pending, and takes a moment. The new names of
records may look like former names of deliveries; so these are renamed twice, by way of a prefix that no namespace has. No step
reads names that it writes, and an interrupted run is continued by the next one.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from newswire.keys import Keyspace
from newswire_operations.stores import Stores

if TYPE_CHECKING:
    from redis.asyncio import Redis

PAGE_SIZE = 500
IDLE_MS = 10_000
"""A consumer that has not read for so long belongs to a service that has stopped."""


class RenameRefusedError(Exception):
    """A key cannot be renamed; the message says why."""


@dataclass(frozen=True, slots=True)
class _Step:
    redis: "Redis"
    former: str
    new: str


async def rename_keys(stores: Stores, namespace: str) -> int:
    """Give every key the name that it has in another namespace; return how many keys this run has renamed.

    Raises:
        RenameRefusedError: a service is running, or the other namespace is in use.
    """
    new = Keyspace(namespace)
    progress = f"{_between(stores.keys)}progress"
    target, _, done = (await stores.redis.get(progress) or b"").decode().partition(" ")
    await _check_stopped(stores)
    if target not in ("", namespace):
        raise RenameRefusedError(f"an interrupted run has renamed keys to {target}: finish it first")
    if new == stores.keys or (not target and await stores.redis.exists(new.stream)):
        raise RenameRefusedError(f"{namespace} is in use")
    count = 0
    for number, step in enumerate(_steps(stores, new)):
        if number >= int(done or 0):
            await stores.redis.set(progress, f"{namespace} {number}")
            renamed = await _rename(step)
            count += renamed if number else 0  # those of the first step are renamed twice
    await stores.redis.delete(progress)
    return count


def _between(keys: Keyspace) -> str:
    """Return a prefix that is in no namespace."""
    return f"{keys.namespace}.renaming:"


def _steps(stores: Stores, new: Keyspace) -> tuple[_Step, ...]:
    between = f"{_between(stores.keys)}deliveries:"
    return (
        _Step(stores.deliveries, stores.keys.deliveries.key(""), between),
        _Step(stores.redis, stores.keys.key(""), new.key("")),
        _Step(stores.deliveries, between, new.deliveries.key("")),
    )


async def _rename(step: _Step) -> int:
    count = 0
    page: list[str] = []
    async for name in step.redis.scan_iter(f"{step.former}*", count=PAGE_SIZE):
        page.append(name.decode())
        if len(page) == PAGE_SIZE:
            count += await _rename_page(step, page)
            page.clear()
    return count + await _rename_page(step, page)


async def _rename_page(step: _Step, names: list[str]) -> int:
    async with step.redis.pipeline(transaction=False) as pipe:
        for name in names:
            pipe.renamenx(name, step.new + name.removeprefix(step.former))
        answers = await pipe.execute(raise_on_error=False)
    for name, renamed in zip(names, answers, strict=True):
        if isinstance(renamed, Exception) and "no such key" not in str(
            renamed
        ):  # it may have expired, or was found twice
            raise renamed
        if not renamed:
            raise RenameRefusedError(f"{name} cannot be renamed: its new name is in use")
    return sum(renamed is True or renamed == 1 for renamed in answers)


async def _check_stopped(stores: Stores) -> None:
    for stream in (stores.keys.stream, stores.keys.outcomes):
        if not await stores.redis.exists(stream):
            continue
        for group in await stores.redis.xinfo_groups(stream):
            for consumer in await stores.redis.xinfo_consumers(stream, group["name"]):
                if consumer["idle"] < IDLE_MS:
                    raise RenameRefusedError(
                        f"{group['name'].decode()} reads events: stop all services, and wait {IDLE_MS // 1000} s if they were"
                        " killed"
                    )
