"""Names of accounts: which are valid, and which are too similar to another one."""

from redis.asyncio import Redis

from newswire.keys import Keyspace
from newswire.text.folding import fold
from newswire.validation.characters import has_visible_text, label_violation

MAX_ACCOUNT_NAME_CHARS = 100


class MalformedNameError(ValueError):
    """The name of an account, or a given token, does not have the required form."""


class ConfusableNameError(MalformedNameError):
    """The name differs from that of another account only in case, accents, width or invisible characters."""

    def __init__(self, name: str, taken: str) -> None:
        super().__init__(f"the name {name!r} is too similar to {taken!r}, the name of another account")


def check_account_name(name: str) -> str:
    """Return the name if it is valid: one printable line that does not begin with '-' (which excludes in filters)."""
    if not 1 <= len(name) <= MAX_ACCOUNT_NAME_CHARS or name != " ".join(name.split()) or name.startswith("-"):
        raise MalformedNameError(
            f"an account's name is one line of 1 to {MAX_ACCOUNT_NAME_CHARS} characters that does not begin with '-'"
        )
    if unfit := label_violation(name):
        raise MalformedNameError(f"an account's name must not contain {unfit}")
    if not fold(name) or not has_visible_text(name):
        raise MalformedNameError("an account's name must contain a letter, a digit or a sign")
    return name


async def index_account_names(redis: "Redis", keys: Keyspace, name: str) -> None:
    """Index the folded names of all accounts, also of older ones, before an account is created."""
    async with redis.pipeline(transaction=False) as pipe:
        pipe.exists(keys.key("account", name))
        pipe.zcard(keys.key("accounts"))
        pipe.hlen(keys.key("account-forms"))
        known, accounts, forms = await pipe.execute()
    if known or accounts == forms:
        return
    names = [found.decode() for found in await redis.zrange(keys.key("accounts"), 0, -1)]
    async with redis.pipeline(transaction=False) as pipe:
        for found in names:
            pipe.hsetnx(keys.key("account-forms"), fold(found), found)
        await pipe.execute()
