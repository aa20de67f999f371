"""The webhook channel of a subscription: URL, headers and limits."""

import re
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, field_validator

from newswire.validation.fields import WHOLE, Flag, Number, Text

MAX_HEADERS = 10
MAX_HEADER_BYTES = 4096
MAX_CONCURRENCY = 256
MAX_DELIVERIES_PER_SECOND = 1000

_NAME = re.compile(r"authorization|x-[a-z0-9][a-z0-9-]{0,98}", re.IGNORECASE)
_TRUSTED_FROM_PROXIES = (
    "x-forwarded x-forwarder x-original x-originating x-rewrite x-real x-host x-proxy x-client x-cluster x-remote x-true-client "
    "x-envoy x-accel x-sendfile x-http x-method x-url x-scheme x-ssl x-tls x-cert x-server x-auth-request x-authenticated "
    "x-webauth x-user-id x-wap x-azure x-ms- x-amz x-amzn x-aws x-goog x-google x-vercel x-appengine x-cloud x-webhook"
).split()
"""Prefixes of headers that applications trust when a proxy sets them (addresses, hosts, logged-in users, cloud metadata), or that
could be mistaken for signature headers. Names such as ``X-Api-Key`` and ``X-Request-Id`` are accepted."""
_VALUE = re.compile(r"[\x21-\x7e](?:[\x20-\x7e]{0,1998}[\x21-\x7e])?")


class Webhook(BaseModel):
    """Deliver by HTTP POST to a URL."""

    model_config = ConfigDict(extra="forbid")

    type: Literal["webhook"]
    url: Annotated[Text, StringConstraints(min_length=1, max_length=2000)]
    headers: dict[str, str] = Field(default={}, repr=False)
    """Sent with every delivery: ``Authorization`` and names that begin with ``X-``. Their values are never shown."""
    rate: Number | None = Field(default=None, gt=0, le=MAX_DELIVERIES_PER_SECOND)
    """Maximum deliveries per second."""
    concurrency: Annotated[int, Field(ge=1, le=MAX_CONCURRENCY), WHOLE] | None = None
    """Maximum deliveries in flight; the operator's limit applies too."""
    verify: Flag = False
    """Require consent of the URL before it is accepted, by the handshake of CloudEvents' HTTP webhooks (section 4)."""
    notices: Flag = False
    """Also deliver notices about the account's subscriptions, for example when one is disabled."""

    @field_validator("headers")
    @classmethod
    def _check_headers(cls, headers: dict[str, str]) -> dict[str, str]:
        if len(headers) > MAX_HEADERS:
            raise ValueError(f"must be at most {MAX_HEADERS} headers")
        if len({name.lower() for name in headers}) < len(headers):
            raise ValueError("must not name a header twice")
        for name, value in headers.items():
            if not _NAME.fullmatch(name) or name.lower().startswith(tuple(_TRUSTED_FROM_PROXIES)):
                raise ValueError(
                    f"must be 'Authorization', or begin with 'X-' and not be one that proxies set: {name[:60]!r} is not accepted"
                )
            if not _VALUE.fullmatch(value):
                raise ValueError("must have values of 1 to 2000 printable ASCII characters without surrounding blanks")
        if sum(len(name) + len(value) for name, value in headers.items()) > MAX_HEADER_BYTES:
            raise ValueError(f"must take no more than {MAX_HEADER_BYTES} bytes")
        return headers

    def public_view(self) -> dict[str, Any]:
        """Return the JSON members that its owner sees. Of headers, which may be secrets, only the names."""
        names = {"header_names": list(self.headers)} if self.headers else {}
        return self.model_dump(exclude={"headers"}, exclude_defaults=True) | names


class WebhookView(BaseModel):
    """The webhook channel of a subscription."""

    type: Literal["webhook"]
    url: str
    header_names: list[str] = []
    """Names of the headers that are sent; their values are not shown."""
    rate: float | None = None
    concurrency: int | None = None
    verify: bool = False
    verified_origin: str | None = None
    """The origin from which the URL consented to receive webhooks; absent where it was not asked."""
    notices: bool = False
