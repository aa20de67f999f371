"""Passkeys, the relying party that they are for, and the errors of both."""

from dataclasses import dataclass
from datetime import datetime
from ipaddress import ip_address
from urllib.parse import urlsplit

from pydantic import HttpUrl

MAX_PASSKEYS = 20
"""Of one user."""
MAX_NAME_CHARS = 60
MAX_CREDENTIAL_ID_BYTES = 1023
"""WebAuthn, section 4 (credential id)."""
MAX_PUBLIC_KEY_BYTES = 1024
"""Room for RSA with 4,096 bits; a larger key would only make signatures slow to verify."""
LOCALHOST = "localhost"


@dataclass(frozen=True, slots=True)
class Passkey:
    """A public key of a user, whose private half an authenticator keeps. ``id``: base64url, without padding."""

    id: str
    name: str
    public_key: bytes
    sign_count: int
    """The authenticator's counter at its last use; 0 with authenticators that do not count."""
    created_at: datetime
    last_used_at: datetime | None
    synced: bool
    """Whether the authenticator backs it up, as password managers do."""
    transports: tuple[str, ...] = ()
    """How browsers reach the authenticator, as the browser said when it was added."""


@dataclass(frozen=True, slots=True)
class RelyingParty:
    """The site for which passkeys are made. Browsers offer a passkey on this domain and its subdomains alone."""

    id: str
    name: str
    origin: str

    def is_at(self, host: str) -> bool:
        """Return whether browsers that opened the site at this host (and port) can have its passkeys."""
        return host.lower() == urlsplit(self.origin).netloc


class PasskeyError(Exception):
    """The base of the errors of passkeys."""


class PasskeyRefusedError(PasskeyError):
    """What the browser sent is not a valid answer of an authenticator for this user and site. The message is for the log."""


class ChallengeExpiredError(PasskeyError):
    """The challenge is too old, was used before, or was made for another browser or session."""


class PasskeyTakenError(PasskeyError):
    """The user has this passkey already."""


class TooManyPasskeysError(PasskeyError):
    """The user has `MAX_PASSKEYS`."""


class InvalidNameError(PasskeyError, ValueError):
    """The name of a passkey is not accepted; the message says why."""


def relying_party(public_url: HttpUrl, name: str) -> RelyingParty | None:
    """Return the relying party of an installation; None if browsers have no passkeys there.

    Browsers want a domain and https. The exception is ``localhost``; so where the public address is a loopback address,
    passkeys work for those who open the site by that name.
    """
    host = (public_url.host or "").lower()
    try:
        address = ip_address(host.strip("[]"))
    except ValueError:
        is_local = host == LOCALHOST or host.endswith(f".{LOCALHOST}")
        if public_url.scheme != "https" and not is_local:
            return None
    else:
        if not address.is_loopback:
            return None
        host = LOCALHOST
    usual = {"http": 80, "https": 443}[public_url.scheme]
    port = "" if public_url.port in (None, usual) else f":{public_url.port}"
    return RelyingParty(host, name, f"{public_url.scheme}://{host}{port}")
