"""Signatures of webhooks, by the Standard Webhooks specification (symmetric, ``v1``)."""

import base64
import binascii
import hashlib
import hmac
import secrets
from functools import lru_cache

PREFIX = "whsec_"


def new_secret() -> str:
    """Return a new secret for a subscription."""
    return PREFIX + base64.b64encode(secrets.token_bytes(32)).decode()


def is_secret(text: str) -> bool:
    """Return whether a text is a secret by the specification: ``whsec_`` and 24 to 64 bytes in Base64."""
    try:
        return text.startswith(PREFIX) and 24 <= len(base64.b64decode(text.removeprefix(PREFIX), validate=True)) <= 64
    except ValueError:
        return False


def signature(secret: str, message_id: str, timestamp: int, body: bytes) -> str:
    """Return the value of ``webhook-signature`` for one message."""
    mac = _keyed(secret).copy()
    mac.update(b"%s.%d." % (message_id.encode(), timestamp))
    mac.update(body)
    return "v1," + binascii.b2a_base64(mac.digest(), newline=False).decode()


@lru_cache(maxsize=16_384)
def _keyed(secret: str) -> hmac.HMAC:
    """Return an HMAC that has processed the key: that takes as long as 2 KB of a message."""
    return hmac.new(binascii.a2b_base64(secret.removeprefix(PREFIX)), digestmod=hashlib.sha256)
