"""A user service with a clock that tests set, and an account."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest
from redis.asyncio import Redis

from newswire.auth.accounts import create_account
from newswire.keys import Keyspace
from newswire.observability.audit import COMMAND_LINE, read_page
from newswire.users.models import User
from newswire.users.roles import Role
from newswire.users.service import Client, UserService

BROWSER = Client("192.0.2.7", "192.0.2.7", "Firefox/150")
ELSEWHERE = Client("198.51.100.9", "198.51.100.9", "Chrome/160")
PASSWORD = "velvet ferry onion quay"


@dataclass
class Clock:
    """A clock that stands still until it is moved."""

    now: datetime = field(default_factory=lambda: datetime.now(UTC).replace(microsecond=0))

    def __call__(self) -> datetime:
        return self.now

    def move(self, by: timedelta) -> None:
        self.now += by


@dataclass
class House:
    """An installation with one account, ``Harbour Post``."""

    redis: Redis
    keys: Keyspace
    clock: Clock
    service: UserService

    async def user(self, email: str = "ida@harbour.example", *roles: Role, password: str | None = PASSWORD) -> User:
        """Create a user of the account."""
        memberships = {"Harbour Post": frozenset(roles or (Role.EDITOR,))}
        user = await self.service.create(email, "Ida Roth", memberships, by=COMMAND_LINE)
        if password:
            await self.service.set_password(user, password, by=COMMAND_LINE)
        found = await self.service.users.find(user.id)
        assert found is not None
        return found

    async def acts(self) -> list[str]:
        """Return the acts on users, oldest first."""
        page = await read_page(self.redis, self.keys, limit=200, act="user.")
        return [entry.act for entry in reversed(page.entries)]


@pytest.fixture
async def house(redis: Redis, namespace: str) -> House:
    keys, clock = Keyspace(namespace), Clock()
    await create_account(redis, keys, "Harbour Post")
    return House(redis, keys, clock, UserService(redis, keys, clock))
