"""Redis functions: the atomic operations of Newswire, loaded into the server under names of their own.

The name of a library contains the namespace and a hash of its content, so that two installations, or two releases during a rolling
update, can share one server without affecting each other's functions.

Functions take named arguments: one JSON object, which ``register`` decodes. Bytes, and texts as long as an article, follow
it as they are: JSON cannot carry the former, and decoding the latter would cost more than the function itself. Numbers
arrive as doubles, exact up to 2**53: pass a fraction that is stored as a string, so that it keeps its form.

Functions also use keys that they learn of only while they run. While the keys of a slot of a Redis Cluster are moved one by one
(``CLUSTER SETSLOT``, ``MIGRATE``), such a key may be on the other node already, and the function would fail halfway. So each
call with a hash tag also names a key that never exists: then the server refuses the whole call with ``TRYAGAIN`` or ``ASK``.
"""

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any, NamedTuple

import orjson
from redis.asyncio import Redis
from redis.exceptions import ResponseError

Arguments = Mapping[str, Any]
"""Named arguments: anything that JSON can carry, without null, which Lua would take for true."""

REGISTER = """\
local function register(name, f, flags)
  redis.register_function{function_name = name .. '_SUFFIX', flags = flags or {}, callback = function(keys, argv)
    local args = argv[1] and cjson.decode(argv[1]) or {}
    if args.guarded then table.remove(keys) end
    for _, at in ipairs(args.absent_keys or {}) do table.insert(keys, at, '') end
    return f(keys, args, argv)
  end}
end
"""


def never_stored(namespace: str) -> str:
    """Return the name of a key that never exists."""
    return f"{namespace}:never-stored"


class Call(NamedTuple):
    """A call of a function. ``texts`` follow the named arguments: the first one is ``argv[2]``.

    A function that needs no key in one place gets an empty string there. It is not sent as a key: a user of Redis that may use
    only the keys of the namespace must not name it.
    """

    function: str
    keys: Sequence[str]
    arguments: Arguments
    texts: Sequence[str | bytes] = ()

    def command(self, full_name: str, route: Sequence[str] = ()) -> list[Any]:
        """Return the parts of the command. ``route``: the keys of a call without keys."""
        keys, added = [*(self.keys or route)], dict[str, Any]()
        if "" in keys:
            added["absent_keys"] = [at for at, key in enumerate(self.keys, start=1) if not key]
            keys = [key for key in keys if key]
        if keys and keys[0].startswith("{"):
            keys.append(never_stored(keys[0].partition("}")[0] + "}"))
            added["guarded"] = True
        arguments = {**self.arguments, **added} if added else self.arguments
        return ["FCALL", full_name, len(keys), *keys, orjson.dumps(arguments), *self.texts]


@dataclass(frozen=True, slots=True)
class LuaSource:
    """The source of a library: ``name.lua`` in a Python package, which can use the locals of its ``parts``.

    A part of another package is written ``package:part``.
    """

    package: str
    name: str
    parts: tuple[str, ...] = ()

    def files(self) -> list[tuple[str, str]]:
        """Return name and text of each file, in the order in which the server reads them."""
        split = [part.rpartition(":") for part in (*self.parts, self.name)]
        return [
            (f"{part}.lua", files(package or self.package).joinpath(f"{part}.lua").read_text())
            for package, _, part in split
        ]


FLAT_FIELDS = "newswire.storage:flat_fields"
"""The part that turns the fields of a hash into what HSET takes."""


class FunctionLibrary:
    """A library of Redis functions, loaded when the server reports that it is missing.

    The Lua source registers its functions by ``register('name', callback)``; read-only ones add ``{'no-writes'}``, so that they
    also work on a full server. A callback takes the keys, the named arguments, and all arguments.
    """

    def __init__(self, redis: "Redis", namespace: str, name: str, source: str, route: Sequence[str] = ()) -> None:
        self._redis = redis
        self._route = route
        content = hashlib.sha256((REGISTER + source).encode()).hexdigest()[:10]
        self._suffix = f"{re.sub('[^a-z0-9_]', '_', namespace)}_{content}"
        self._code = f"#!lua name=newswire_{name}_{self._suffix}\n{REGISTER.replace('SUFFIX', self._suffix)}{source}"

    @classmethod
    def packaged(
        cls, redis: "Redis", namespace: str, source: LuaSource, *, route: Sequence[str] = ()
    ) -> "FunctionLibrary":
        """Create the library from the files of Python packages.

        ``route``: the keys of calls without keys, for functions that build their key names themselves.
        """
        return cls(redis, namespace, source.name, "\n".join(text for _, text in source.files()), route)

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

    async def call(
        self, function: str, keys: Sequence[str], arguments: Arguments, texts: Sequence[str | bytes] = ()
    ) -> Any:
        """Call a function and return its reply as redis-py decodes it."""
        command = self._command(Call(function, keys, arguments, texts))
        try:
            return await self._redis.execute_command(*command)
        except ResponseError as error:
            if not _lacks_function(error):
                raise
        await self.load()
        return await self._redis.execute_command(*command)

    async def call_all(self, calls: Sequence[Call]) -> list[Any]:
        """Call several functions in one round trip; return their replies in order, and the exception of each that failed.

        Each call is atomic by itself; together they are not.
        """
        async with self._redis.pipeline(transaction=False) as pipe:
            for call in calls:
                pipe.execute_command(*self._command(call))
            answers: list[Any] = await pipe.execute(raise_on_error=False)
        for at, answer in enumerate(answers):
            if _lacks_function(answer):
                answers[at] = await self.call(*calls[at])
        return answers

    def _command(self, call: Call) -> list[Any]:
        return call.command(self.full_name(call.function), self._route)


def _lacks_function(answer: object) -> bool:
    return isinstance(answer, ResponseError) and "Function not found" in str(answer)
