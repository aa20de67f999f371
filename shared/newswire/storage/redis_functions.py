"""Redis functions: the atomic operations of Newswire, loaded into the server under names of their own.

The name of a library contains the namespace and a hash of its content, so that two installations, or two releases during a rolling
update, can share one server without affecting each other's functions.
"""

import hashlib
import re
from collections.abc import Sequence
from importlib.resources import files
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import ResponseError

Argument = str | bytes | int | float
Call = tuple[str, Sequence[str], Sequence[Argument]]
"""A function, its keys and its other arguments."""


class FunctionLibrary:
    """A library of Redis functions, loaded when the server reports that it is missing.

    The Lua source registers its functions by ``register('name', callback)``; read-only ones add ``{'no-writes'}``, so that they
    also work on a full server.
    """

    def __init__(self, redis: "Redis", namespace: str, name: str, source: str, route: Sequence[str] = ()) -> None:
        self._redis = redis
        self._route = route
        suffix = f"{re.sub('[^a-z0-9_]', '_', namespace)}_{hashlib.sha256(source.encode()).hexdigest()[:10]}"
        self._suffix = suffix
        self._code = (
            f"#!lua name=newswire_{name}_{suffix}\n"
            f"local function register(name, f, flags) redis.register_function{{function_name = name .. '_{suffix}', "
            f"callback = f, flags = flags or {{}}}} end\n{source}"
        )

    @classmethod
    def packaged(
        cls, redis: "Redis", namespace: str, package: str, name: str, *parts: str, route: Sequence[str] = ()
    ) -> "FunctionLibrary":
        """Create the library from ``name.lua`` in a Python package; it can use the locals of its ``parts``.

        ``route``: the keys of calls without keys, for functions that build their key names themselves.
        """
        folder = files(package)
        source = "\n".join(folder.joinpath(f"{part}.lua").read_text() for part in (*parts, name))
        return cls(redis, namespace, name, source, route)

    def full_name(self, function: str) -> str:
        """Return the name of a function on the server, for use in a pipeline after `load`."""
        return f"{function}_{self._suffix}"

    async def load(self) -> None:
        """Load the library unless the server has it."""
        try:
            await self._redis.function_load(self._code)
        except ResponseError as error:
            if "already exists" not in str(error):
                raise

    async def call(self, function: str, keys: Sequence[str], args: Sequence[Argument]) -> Any:
        """Call a function and return its reply as redis-py decodes it."""
        keys = keys or self._route
        try:
            return await self._redis.fcall(self.full_name(function), len(keys), *keys, *args)
        except ResponseError as error:
            if not _lacks_function(error):
                raise
        await self.load()
        return await self._redis.fcall(self.full_name(function), len(keys), *keys, *args)

    async def call_all(self, calls: Sequence[Call]) -> list[Any]:
        """Call several functions in one round trip; return their replies in order, and the exception of each that failed.

        Each call is atomic by itself; together they are not.
        """
        async with self._redis.pipeline(transaction=False) as pipe:
            for function, own, args in calls:
                keys = own or self._route
                pipe.execute_command("FCALL", self.full_name(function), len(keys), *keys, *args)
            answers: list[Any] = await pipe.execute(raise_on_error=False)
        for at, answer in enumerate(answers):
            if _lacks_function(answer):
                answers[at] = await self.call(*calls[at])
        return answers


def _lacks_function(answer: object) -> bool:
    return isinstance(answer, ResponseError) and "Function not found" in str(answer)
