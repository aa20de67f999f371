"""DKIM signatures (RFC 6376): RSA-2048 with SHA-256, relaxed headers and simple body.

From is oversigned (listed once more than it occurs), so a second From header invalidates the signature. Without ``l=``, so does
appended text.
"""

import base64
import hashlib
import re
import textwrap
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

KEY_BITS = 2048
SIGNED_HEADERS = (
    "From",
    "To",
    "Subject",
    "Date",
    "Message-ID",
    "Reply-To",
    "MIME-Version",
    "Content-Type",
    "Auto-Submitted",
    "List-Id",
    "List-Unsubscribe",
    "List-Unsubscribe-Post",
    "List-Help",
    "List-Owner",
    "List-Archive",
    "Feedback-ID",
)
"""The headers that are signed where a mail has them; RFC 8058 requires those of unsubscribing."""
_SIGNED_NAMES = tuple(name.lower().encode() for name in SIGNED_HEADERS)
_SPACES = re.compile(rb"[ \t]+")
_FOLDED = re.compile(rb"\r\n(?=[ \t])")


class Header(NamedTuple):
    """A header of a mail. ``relaxed``: as it is signed, with its CRLF."""

    name: bytes
    value: bytes
    relaxed: bytes

    @classmethod
    def of(cls, name: str, value: str) -> "Header":
        """Return a header with an ASCII value, which may be folded.

        Raises:
            UnicodeEncodeError: the value is not ASCII.
        """
        encoded = value.encode("ascii")
        return cls(name.encode(), encoded, _relaxed(name.encode(), encoded))

    @property
    def line(self) -> bytes:
        """The header as it stands in the mail."""
        return self.name + b": " + self.value + b"\r\n"


class DkimKeyError(ValueError):
    """The private key cannot be used; the message says why."""


class DkimSigner:
    """Signs mails for one domain with the key that its DNS publishes under one selector."""

    def __init__(self, private_key: str, domain: str, selector: str) -> None:
        """Read the private key (PEM).

        Raises:
            DkimKeyError: it is not a PEM of an RSA key, or has fewer than 1024 bits.
        """
        try:
            key = serialization.load_pem_private_key(private_key.encode(), password=None)
        except (ValueError, TypeError) as error:
            raise DkimKeyError("it is not an unencrypted private key in PEM") from error
        if not isinstance(key, rsa.RSAPrivateKey):
            raise DkimKeyError("it is not an RSA key, which is what receivers verify")
        if key.key_size < 1024:
            raise DkimKeyError(f"it has {key.key_size} bits; receivers refuse fewer than 1024")
        self._key = key
        self.domain = domain.lower()
        self.selector = selector

    def covers(self, sender_domain: str) -> bool:
        """Return whether the signature is aligned with mails from a domain (DMARC, relaxed): it is that domain or a parent."""
        return sender_domain == self.domain or sender_domain.endswith(f".{self.domain}")

    def header(self, headers: Sequence[Header], body: bytes, timestamp: int) -> bytes:
        """Return the DKIM-Signature header line, CRLF included, of a mail with these headers and body."""
        known = {header.relaxed.partition(b":")[0]: header for header in reversed(headers)}
        present = [known[name] for name in _SIGNED_NAMES if name in known]
        body_hash = base64.b64encode(hashlib.sha256(_simple_body(body)).digest())
        signed_names = _folded_names(("From", *[header.name.decode() for header in present]))
        value = b"".join(
            (
                b"v=1; a=rsa-sha256; c=relaxed/simple;\r\n d=" + self.domain.encode(),
                b";\r\n s=" + self.selector.encode() + b"; t=" + str(timestamp).encode(),
                b";\r\n h=" + signed_names,
                b";\r\n bh=" + body_hash + b";\r\n b=",
            )
        )
        # The first From is the one that the mail has; the second, oversigned one is empty and adds nothing.
        signed = b"".join([header.relaxed for header in present])
        signed += _relaxed(b"DKIM-Signature", value).removesuffix(b"\r\n")
        signature = base64.b64encode(self._key.sign(signed, padding.PKCS1v15(), hashes.SHA256()))
        lines = [signature[at : at + 72] for at in range(0, len(signature), 72)]
        return b"DKIM-Signature: " + value + b"\r\n ".join(lines) + b"\r\n"


def new_key() -> tuple[str, str]:
    """Return a new private key as PEM, and the value of the DNS record (TXT) that publishes its public half."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=KEY_BITS)
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    public = key.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return private.decode(), f"v=DKIM1; k=rsa; p={base64.b64encode(public).decode()}"


@lru_cache
def _folded_names(names: tuple[str, ...]) -> bytes:
    """Join the names of headers by colons, in lines of at most 78 characters."""
    lines = textwrap.wrap(": ".join(names), 72, break_on_hyphens=False)
    return "\r\n ".join(line.replace(": ", ":") for line in lines).encode()


def _relaxed(name: bytes, value: bytes) -> bytes:
    """Return a header in relaxed form (RFC 6376, section 3.4.2)."""
    return name.lower() + b":" + _SPACES.sub(b" ", _FOLDED.sub(b"", value)).strip() + b"\r\n"


def _simple_body(body: bytes) -> bytes:
    """Return a body in simple form (RFC 6376, section 3.4.3): one line break at its end."""
    return body.rstrip(b"\r\n") + b"\r\n" if not body.endswith(b"\r\n") or body.endswith(b"\r\n\r\n") else body
