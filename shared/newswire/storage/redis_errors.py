"""What the errors of Redis mean: which of them say that it cannot be used now, and why."""

import re
from dataclasses import dataclass

from redis.exceptions import AuthenticationError, RedisClusterException, ResponseError
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

SOON_SECONDS = 1
OPERATOR_SECONDS = 30
"""After how many seconds clients repeat a request that fails until an operator acts."""
REDIS_ERRORS = (RedisConnectionError, RedisTimeoutError, ResponseError, RedisClusterException)
"""The errors among which `unavailability` finds those of a Redis that cannot be used now."""


@dataclass(frozen=True, slots=True)
class Unavailability:
    """Why a Redis cannot be used now, and after how many seconds it is worth another try."""

    cause: str
    retry_after: int = SOON_SECONDS


_BY_CODE = {
    "READONLY": Unavailability("Redis was switched to another server, and this one is a replica now"),
    "LOADING": Unavailability("Redis is starting and loads its data"),
    "MASTERDOWN": Unavailability("Redis is a replica that has lost its primary"),
    "NOREPLICAS": Unavailability("Redis has too few replicas to accept writes"),
    "UNCONFIRMED": Unavailability(
        "too few replicas of Redis confirmed the write in time, which may take effect nevertheless"
    ),
    "SWITCHED": Unavailability("another server of Redis took over, which may lack the write"),
    "UNBLOCKED": Unavailability("Redis was switched to another server, and this one is a replica now"),
    "CLUSTERDOWN": Unavailability("the Redis cluster is down or does not serve all slots"),
    "TRYAGAIN": Unavailability("the Redis cluster is moving keys"),
    "MOVED": Unavailability("another node of the Redis cluster has the keys"),
    "ASK": Unavailability("another node of the Redis cluster has the keys"),
    "CROSSSLOT": Unavailability("the keys are in several slots of a Redis cluster", OPERATOR_SECONDS),
    "BUSY": Unavailability("Redis is busy with a function that takes long"),
    "NOPERM": Unavailability("the Redis user lacks a permission", OPERATOR_SECONDS),
    "NOAUTH": Unavailability("Redis requires a password", OPERATOR_SECONDS),
    "WRONGPASS": Unavailability("Redis does not accept the user or the password", OPERATOR_SECONDS),
    "OOM": Unavailability("Redis is full", OPERATOR_SECONDS),
    "MISCONF": Unavailability("Redis cannot write to its disk", OPERATOR_SECONDS),
    "DENIED": Unavailability(
        "Redis admits connections from its own machine only, because it has no password", OPERATOR_SECONDS
    ),
}
"""By the first word of an error reply."""
_BY_TEXT = {
    "max number of clients": Unavailability("Redis has as many connections as it accepts"),
    "Script killed by user": Unavailability("an operator ended a function of Redis that took long"),
}
"""By a part of an error reply whose first word is ERR."""
_REFUSED_COMMAND = re.compile(
    r"unknown|unsupported|not (available|supported|allowed)|disabled|forbidden", re.IGNORECASE
)
_OF_FUNCTIONS = re.compile(r"\b(FCALL|FUNCTION)\b")
_NO_FUNCTIONS = Unavailability("Redis is older than version 7, or lacks functions", OPERATOR_SECONDS)
_UNREACHABLE = Unavailability("Redis cannot be reached")


def error_code(error: BaseException) -> str:
    """Return the first word of an error reply. redis-py removes the codes that it knows from the text, and a pipeline precedes
    the text by its command.
    """
    said = str(error).rpartition("of pipeline caused error: ")[2].lstrip("('\"")
    if said.startswith("ACL failure in script"):  # of a function's own commands; the code is ERR
        return "NOPERM"
    return str(getattr(error, "status_code", None) or said.partition(" ")[0])


def unavailability(error: BaseException) -> Unavailability | None:
    """Return why Redis cannot be used now, or None for another error."""
    code = error_code(error)
    if known := _BY_CODE.get(code):
        return known
    said = str(error)
    if code == "ERR" and (by_text := next((known for text, known in _BY_TEXT.items() if text in said), None)):
        return by_text
    # Each server, release, provider and proxy has its own words for a command that it does not have.
    if _OF_FUNCTIONS.search(said) and _REFUSED_COMMAND.search(said):
        return _NO_FUNCTIONS
    if isinstance(error, AuthenticationError):  # without a code of its own, as where no password is set
        return _BY_CODE["WRONGPASS"]
    return _UNREACHABLE if isinstance(error, (RedisConnectionError, RedisTimeoutError, RedisClusterException)) else None


def reason(error: BaseException) -> str:
    """Return why a call failed, in words for operators: the cause, if known, and what the server or the system said."""
    known, said = unavailability(error), str(error) or type(error).__name__
    return f"redis: {known.cause}: {said}" if known and known is not _UNREACHABLE else f"redis: {said}"
