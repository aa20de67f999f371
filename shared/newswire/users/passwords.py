"""Passwords: their rules, and their hashes by Argon2id (RFC 9106) with the parameters that OWASP recommends.

Hashing takes some 20 ms of a processor and 19 MiB of memory, so one thread does it, with a bounded queue.
"""

import unicodedata
from functools import cache

from pwdlib import PasswordHash
from pwdlib.exceptions import UnknownHashError
from pwdlib.hashers.argon2 import Argon2Hasher

from newswire.concurrency.offload import Deadline, Offload
from newswire.users.models import WeakPasswordError

MIN_CHARS = 12
MAX_CHARS = 256
_MAX_JUDGED_CHARS = 64
"""The time of the estimate grows faster than the length; what is longer than this is strong by its beginning or not at all."""
_MIN_SCORE = 3
"""Of zxcvbn: at least 10^8 guesses."""

_hashing = Offload("passwords", workers=1, max_waiting=32)
_hasher = PasswordHash((Argon2Hasher(time_cost=2, memory_cost=19_456, parallelism=1),))


async def hash_password(password: str, *, known: tuple[str, ...] = ()) -> str:
    """Check a new password and return its hash. ``known`` are words that an attacker would try: name, address, account.

    Raises:
        WeakPasswordError: it is too short, too long, or easy to guess.
        newswire.concurrency.offload.OffloadError: too many passwords are being hashed.
    """
    normal = _normal(password)
    if len(normal) < MIN_CHARS:
        raise WeakPasswordError(f"a password has at least {MIN_CHARS} characters")
    if len(normal) > MAX_CHARS:
        raise WeakPasswordError(f"a password has at most {MAX_CHARS} characters")

    def work(_: Deadline) -> str:
        from zxcvbn import zxcvbn  # reads its dictionaries, which most processes never need

        judged = zxcvbn(normal[:_MAX_JUDGED_CHARS], [word.lower() for word in known if word], max_length=MAX_CHARS)
        if judged["score"] < _MIN_SCORE:
            raise WeakPasswordError(
                "this password is easy to guess; use a longer one, for example four unrelated words"
            )
        return _hasher.hash(normal)

    return await _hashing.run(work)


async def verify_password(password: str, stored: str | None) -> bool:
    """Return whether a password has this hash. Without a hash it takes as long, so that its absence is not measurable.

    Raises:
        newswire.concurrency.offload.OffloadError: too many passwords are being verified.
    """
    normal = _normal(password[: MAX_CHARS + 1])

    def work(_: Deadline) -> bool:
        try:
            right = _hasher.verify(normal, stored or _hash_of_nothing())
        except UnknownHashError:
            return False
        return right and stored is not None and len(normal) <= MAX_CHARS

    return await _hashing.run(work)


def _normal(password: str) -> str:
    """Return a password in the form in which it is hashed, whatever way a keyboard composes letters (NIST SP 800-63B, 3.1.1.2)."""
    return unicodedata.normalize("NFKC", password).encode("utf-8", "replace").decode()


@cache
def _hash_of_nothing() -> str:
    return _hasher.hash("no password has this hash")
