"""The providers that users can sign in with, as the setting ``NEWSWIRE_OPENID_PROVIDERS`` names them."""

from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

import orjson
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    StringConstraints,
    field_validator,
    model_validator,
)

from newswire.auth.account_names import MAX_ACCOUNT_NAME_CHARS
from newswire.users.roles import Role
from newswire.validation.email_addresses import check_address, domain_of

MAX_PROVIDERS = 10
_Text = Annotated[str, StringConstraints(min_length=1, max_length=300)]


def _ascii_domain(domain: str) -> str:
    """Return a domain as addresses have it after `check_address`."""
    return domain if domain.isascii() else domain_of(check_address(f"postmaster@{domain}"))


_Domain = Annotated[str, StringConstraints(to_lower=True, pattern=r"^[^\s@]{1,253}$"), AfterValidator(_ascii_domain)]


class CreationRule(BaseModel):
    """Who becomes a user at the first sign-in, and with which roles: the addresses of a domain, or the members of a group."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    account: Annotated[str, StringConstraints(min_length=1, max_length=MAX_ACCOUNT_NAME_CHARS)]
    roles: Annotated[list[Role], Field(min_length=1)]
    domain: _Domain | None = None
    group: _Text | None = None

    @model_validator(mode="after")
    def _is_for_somebody(self) -> "CreationRule":
        if (self.domain is None) == (self.group is None):
            raise ValueError("name either a domain or a group")
        return self


class OpenIdProvider(BaseModel):
    """A provider. What it says about people is believed, so its issuer has to be one that the operator trusts."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9-]{0,30}$")]
    """In addresses, for example that to which the provider sends people back."""
    label: Annotated[str, StringConstraints(min_length=1, max_length=60)]
    """On the page of the sign-in."""
    issuer: _Text
    client_id: _Text
    client_secret: SecretStr | None = None
    """None for a client that has none (a public client). ``client_secret_file`` names a file with it instead."""
    scopes: Annotated[list[_Text], Field(max_length=20)] = ["openid", "email", "profile"]
    email_claim: _Text = "email"
    verified_claim: _Text = "email_verified"
    """Which claim says that the address belongs to the person."""
    required_claims: Annotated[dict[_Text, _Text], Field(max_length=20)] = {}
    """Claims that the person must have, each with its value: with Google, ``hd`` is the organisation."""
    domains: Annotated[list[_Domain], Field(max_length=100)] = []
    """The domains of addresses that are accepted; empty: all."""
    sign_out: bool = True
    """Whether signing out here ends the session at the provider, too, if the provider supports it."""
    groups_claim: _Text = "groups"
    create: Annotated[list[CreationRule], Field(max_length=100)] = []
    """Empty: only those who are users already can sign in."""

    @property
    def deciding_claims(self) -> frozenset[str]:
        """The claims that decide who a person is here, and what the person becomes."""
        groups = {self.groups_claim} if any(rule.group for rule in self.create) else set[str]()
        return frozenset({self.email_claim, self.verified_claim, *self.required_claims} | groups)

    @field_validator("issuer")
    @classmethod
    def _check_issuer(cls, value: str) -> str:
        if not is_acceptable(value, value) or urlsplit(value).query:
            raise ValueError("an issuer is an https address without query; http only on this machine")
        return value

    @field_validator("scopes")
    @classmethod
    def _check_scopes(cls, value: list[str]) -> list[str]:
        if "openid" not in value:
            raise ValueError("the scopes have to contain openid")
        return value

    @model_validator(mode="before")
    @classmethod
    def _read_secret(cls, values: Any) -> Any:
        if not isinstance(values, dict) or "client_secret_file" not in values:
            return values
        others = {name: value for name, value in values.items() if name != "client_secret_file"}
        path = str(values["client_secret_file"])
        if values.get("client_secret") is not None:
            raise ValueError("client_secret and client_secret_file are both set; remove one of them")
        try:
            secret = Path(path).read_text("utf-8").rstrip("\r\n")
        except (OSError, UnicodeError) as error:
            reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
            raise ValueError(f"client_secret_file: {path} cannot be read: {reason}") from None
        return {**others, "client_secret": secret}


def read_providers(value: object) -> object:
    """Parse the JSON of the setting; other values are returned unchanged."""
    if not isinstance(value, str):
        return value
    try:
        return orjson.loads(value or "[]")
    except orjson.JSONDecodeError as error:
        raise ValueError(f"it is not JSON: {error}") from None


def check_names(providers: list[OpenIdProvider]) -> list[OpenIdProvider]:
    """Return providers whose names differ."""
    if len({each.name for each in providers}) < len(providers):
        raise ValueError("two providers have the same name")
    return providers


def is_acceptable(address: str, issuer: str) -> bool:
    """Return whether an address is https; or on this machine, as its issuer is.

    No other address is requested: what a provider publishes about itself cannot lead to servers of the internal network that
    speak no TLS, and from a provider elsewhere not to this machine.
    """
    try:
        parts = urlsplit(address)
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        return False
    if (
        not address.isascii()
        or not host
        or "@" in parts.netloc
        or parts.fragment
        or any(char <= " " or char == "\\" for char in address)
    ):
        return False
    if _is_local(host):
        return parts.scheme in ("http", "https") and _is_local(urlsplit(issuer).hostname or "")
    return parts.scheme == "https"


def _is_local(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
