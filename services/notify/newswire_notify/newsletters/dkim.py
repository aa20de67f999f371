"""DKIM signatures (RFC 6376): RSA-2048 with SHA-256, relaxed headers and simple body.

From is oversigned (listed once more than it occurs), so a second From header invalidates the signature. Without ``l=``, so does
appended text.
"""

import base64
import hashlib
import re
import textwrap
from collections.abc import Sequence
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
_SPACES = re.compile(rb"[ \t]+")
_FOLDED = re.compile(rb"\r\n(?=[ \t])")


class Header(NamedTuple):
    """A header of a mail. ``relaxed``: as it is signed, with its CRLF."""

    line: bytes
    """As it stands in the mail, with its CRLF."""
    relaxed: bytes

    @classmethod
    def of(cls, name: str, value: str) -> "Header":
        """Return a header with an ASCII value, which may be folded.

        Raises:
            UnicodeEncodeError: the value is not ASCII.
        """
        encoded, named = value.encode("ascii"), name.encode()
        relaxed = named.lower() + b":" + relaxed_value(encoded) + b"\r\n"
        return cls(named + b": " + encoded + b"\r\n", relaxed)


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

    def sign(self, headers: bytes, described: "SignatureHeader", body: bytes, timestamp: int) -> bytes:
        """Return the DKIM-Signature header line, CRLF included. ``headers``: the signed ones in relaxed form, in their order."""
        body_hash = base64.b64encode(hashlib.sha256(_simple_body(body)).digest())
        signed = headers + described.relaxed(timestamp, body_hash)
        signature = base64.b64encode(self._key.sign(signed, padding.PKCS1v15(), hashes.SHA256()))
        lines = [signature[at : at + 72] for at in range(0, len(signature), 72)]
        return described.line(timestamp, body_hash) + b"\r\n ".join(lines) + b"\r\n"

    def describe(self, names: Sequence[str]) -> "SignatureHeader":
        """Return the header of signatures over the headers with these names, in their order."""
        beginning = f"v=1; a=rsa-sha256; c=relaxed/simple;\r\n d={self.domain};\r\n s={self.selector}; t=".encode()
        # The first From is the one that the mail has; the second, oversigned one is empty and adds nothing.
        ending = b";\r\n h=" + _folded_names(("From", *names)) + b";\r\n bh="
        return SignatureHeader(beginning, ending)


class SignatureHeader:
    """A DKIM-Signature header without its time, body hash and signature."""

    def __init__(self, beginning: bytes, ending: bytes) -> None:
        """``beginning`` ends before the time, and ``ending`` before the body hash."""
        self._line = (b"DKIM-Signature: " + beginning, ending, b";\r\n b=")
        self._relaxed = (b"dkim-signature:" + relaxed_value(beginning), relaxed_value(ending), b"; b=")

    def line(self, timestamp: int, body_hash: bytes) -> bytes:
        """Return the header as it stands in the mail, up to the signature."""
        beginning, ending, last = self._line
        return b"%b%d%b%b%b" % (beginning, timestamp, ending, body_hash, last)

    def relaxed(self, timestamp: int, body_hash: bytes) -> bytes:
        """Return the header as it is signed."""
        beginning, ending, last = self._relaxed
        return b"%b%d%b%b%b" % (beginning, timestamp, ending, body_hash, last)


def new_key() -> tuple[str, str]:
    """Return a new private key as PEM, and the value of the DNS record (TXT) that publishes its public half."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=KEY_BITS)
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    public = key.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return private.decode(), f"v=DKIM1; k=rsa; p={base64.b64encode(public).decode()}"


def _folded_names(names: tuple[str, ...]) -> bytes:
    """Join the names of headers by colons, in lines of at most 78 characters."""
    lines = textwrap.wrap(": ".join(names), 72, break_on_hyphens=False)
    return "\r\n ".join(line.replace(": ", ":") for line in lines).encode()


def relaxed_value(value: bytes) -> bytes:
    """Return the value of a header in relaxed form (RFC 6376, section 3.4.2)."""
    if b" " not in value and b"\t" not in value and b"\r" not in value:
        return value
    return _SPACES.sub(b" ", _FOLDED.sub(b"", value)).strip()


def _simple_body(body: bytes) -> bytes:
    """Return a body in simple form (RFC 6376, section 3.4.3): one line break at its end."""
    return body.rstrip(b"\r\n") + b"\r\n" if not body.endswith(b"\r\n") or body.endswith(b"\r\n\r\n") else body
