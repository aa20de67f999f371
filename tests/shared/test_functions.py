"""Redis functions: loaded when missing, and called in batches."""

from redis.asyncio import Redis
from redis.exceptions import ResponseError

from newswire.storage.redis_functions import Call, FunctionLibrary

SOURCE = """
register('echo', function(_, args, argv) return (args.said or '') .. (argv[2] or '') end)
register('add', function(_, args) return {args.number + 1, args.list[2], args.nested.flag and 1 or 0} end)
register('keys', function(keys) return keys end)
register('fail', function() return redis.error_reply('ERR on purpose') end)
"""


async def test_missing_functions_are_loaded(redis: Redis, namespace: str) -> None:
    assert await FunctionLibrary(redis, namespace, "one", SOURCE).call("echo", [], {"said": "a"}) == b"a"
    functions = FunctionLibrary(redis, namespace, "all", SOURCE)
    for _ in range(2):
        assert await functions.call_all([Call("echo", [], {"said": each}) for each in "ab"]) == [b"a", b"b"]


async def test_a_failing_call_does_not_affect_the_others(redis: Redis, namespace: str) -> None:
    functions = FunctionLibrary(redis, namespace, "test", SOURCE)
    await functions.load()
    first, failed, last = await functions.call_all(
        [Call("echo", [], {"said": "a"}), Call("fail", [], {}), Call("echo", [], {"said": "b"})]
    )
    assert (first, last) == (b"a", b"b")
    assert isinstance(failed, ResponseError)


async def test_arguments_arrive_by_name_as_they_were_sent(redis: Redis, namespace: str) -> None:
    functions = FunctionLibrary(redis, namespace, "named", SOURCE)
    said = 'quotes " and \\, a line\nbreak, NUL \0, Łódź and 😀'
    assert await functions.call("echo", [], {"said": said}) == said.encode()
    arguments = {"number": 2**53 - 2, "list": ["a", "b"], "nested": {"flag": False}}
    assert await functions.call("add", [], arguments) == [2**53 - 1, b"b", 0]


async def test_bytes_follow_the_named_arguments_untouched(redis: Redis, namespace: str) -> None:
    functions = FunctionLibrary(redis, namespace, "texts", SOURCE)
    assert await functions.call("echo", [], {"said": "a"}, [b"\x00\xff"]) == b"a\x00\xff"


async def test_a_call_without_keys_is_routed(redis: Redis, namespace: str) -> None:
    functions = FunctionLibrary(redis, namespace, "routed", SOURCE, route=["{a}:b"])
    assert await functions.call("keys", [], {}) == [b"{a}:b"]
    assert await functions.call("keys", ["{a}:c"], {}) == [b"{a}:c"]
    assert await functions.call("keys", ["", "{a}:c"], {}) == [b"", b"{a}:c"]


async def test_a_call_with_a_hash_tag_names_a_key_that_never_exists() -> None:
    command = Call("put", ["{a}:b", ""], {"value": 1}).command("put_x")
    assert command[:5] == ["FCALL", "put_x", 2, "{a}:b", "{a}:never-stored"]
    assert Call("put", ["a:b"], {}).command("put_x")[:4] == ["FCALL", "put_x", 1, "a:b"]


async def test_two_releases_share_a_server(redis: Redis, namespace: str) -> None:
    former = FunctionLibrary(redis, namespace, "shared", SOURCE)
    next_ = FunctionLibrary(redis, namespace, "shared", SOURCE.replace("args.number + 1", "args.number + 2"))
    arguments = {"number": 1, "list": ["a", "b"], "nested": {"flag": True}}
    for _ in range(2):
        assert await former.call("add", [], arguments) == [2, b"b", 1]
        assert await next_.call("add", [], arguments) == [3, b"b", 1]


async def test_absent_keys_are_not_sent(redis: Redis, redis_url: str, namespace: str) -> None:
    await redis.acl_setuser(namespace, enabled=True, nopass=True, keys=["{a}:*"], categories=["+@all"])
    user = Redis.from_url(redis_url, username=namespace, password="any")
    try:
        functions = FunctionLibrary(user, namespace, "absent", SOURCE)
        assert await functions.call("keys", ["", "{a}:b", "", ""], {}) == [b"", b"{a}:b", b"", b""]
        assert await functions.call_all([Call("keys", ["{a}:b", "", "{a}:c"], {})]) == [[b"{a}:b", b"", b"{a}:c"]]
    finally:
        await user.aclose()
        await redis.acl_deluser(namespace)
