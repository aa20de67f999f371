"""Reads a subscription request (the Recommendation, section 5.1), which is a form."""

import re
from urllib.parse import parse_qsl

from yarl import URL

from newswire.http.problems import FieldError, ProblemError, invalid, invalid_fields, malformed
from newswire.validation.web_addresses import MAX_URL_LENGTH
from newswire_notify.webhooks.ssrf_guard import AddressPolicy, EndpointRefusedError, check_url
from newswire_notify.websub.models import MAX_SECRET_BYTES, HubRequest, Mode, granted_lease

MAX_FORM_BYTES = 16 * 1024
MAX_FIELDS = 100
"""Unknown parameters are ignored, up to this number of all."""
MEDIA_TYPE = "application/x-www-form-urlencoded"
_PARAMETERS = ("hub.mode", "hub.callback", "hub.topic", "hub.lease_seconds", "hub.secret")
_FEED_PATH = re.compile(r"/feeds/.+\.(xml|atom|json)")
_URL = re.compile(r"(?P<origin>https?://[^/?]*)(?P<path>/[^?]*)(?P<query>\?.*)?", re.IGNORECASE)
_CALLBACK = re.compile(r"[^/?]*//[^/?]*(?P<path>/[^?]*)?(?P<query>\?.*)?")
_URL_CHARACTERS = re.compile(r"(?:[A-Za-z0-9._~:/?@!$&'()*+,;=\[\]-]|%[0-9A-Fa-f]{2})+")
_DOT_SEGMENT = re.compile(r"(^|/)(\.|%2e){1,2}(/|$)", re.IGNORECASE)


def parse_form(body: bytes) -> dict[str, str]:
    """Return the hub's parameters; those with an empty value are left out.

    Raises:
        ProblemError: the form cannot be read (400), or a parameter of the hub was sent twice (422).
    """
    try:
        pairs = parse_qsl(
            body.decode(), keep_blank_values=True, encoding="utf-8", errors="strict", max_num_fields=MAX_FIELDS
        )
    except UnicodeDecodeError:
        raise malformed("body", "is not UTF-8 once it is decoded", "percent-encode the bytes of its UTF-8") from None
    except ValueError:
        raise malformed("body", f"has more than {MAX_FIELDS} parameters", "send those of the hub only") from None
    names = [name for name, _ in pairs]
    if repeated := [name for name in _PARAMETERS if names.count(name) > 1]:
        raise invalid_fields([FieldError(name, "was given more than once", "give it once") for name in repeated])
    return {name: value for name, value in pairs if name in _PARAMETERS and value}


def hub_request(parameters: dict[str, str], site: str, policy: AddressPolicy) -> HubRequest:
    """Return the request that the parameters make.

    Raises:
        ProblemError: parameters are missing or invalid (422); it names each of them.
    """
    errors: list[FieldError] = []
    mode = callback = topic = ""
    lease: int | None = None
    try:
        mode = _mode(parameters)
    except ProblemError as error:
        errors += error.errors
    try:
        callback = canonical_callback(_required(parameters, "hub.callback"), policy)
    except EndpointRefusedError as error:
        errors.append(FieldError(error.field, error.problem, error.fix))
    except ProblemError as error:
        errors += error.errors
    try:
        topic = canonical_topic(_required(parameters, "hub.topic"), site)
    except ProblemError as error:
        errors += error.errors
    secret = parameters.get("hub.secret") if mode == Mode.SUBSCRIBE else None
    if mode == Mode.SUBSCRIBE:
        try:
            lease = _lease(parameters.get("hub.lease_seconds"))
            _check_secret(secret)
        except ProblemError as error:
            errors += error.errors
    if errors:
        raise invalid_fields(errors)
    return HubRequest(Mode(mode), callback, topic, parameters["hub.topic"], granted_lease(lease), secret)


def canonical_callback(sent: str, policy: AddressPolicy) -> str:
    """Return a callback with its origin in normal form; path and query stay as they are (the Recommendation, section 5.1).

    Characters that are invalid in a URL are percent-encoded, as a browser does it.

    Raises:
        EndpointRefusedError: it is not accepted.
    """
    checked = check_url(sent, policy, field="hub.callback")
    parts = _CALLBACK.fullmatch(sent)
    if parts is None or not _URL_CHARACTERS.fullmatch(sent):
        return checked
    return f"{URL(checked).origin()}{parts['path'] or '/'}{parts['query'] or ''}"


def canonical_topic(sent: str, site: str) -> str:
    """Return the URL of one of this site's feeds, which begins with ``site``; path and query stay as they are.

    They are as the feed itself wrote them in its ``self`` link, and subscribers compare.

    Raises:
        ProblemError: it is not such a URL (422).
    """
    fix = f"send the address that a feed of this site names as 'self', such as {site}/feeds/latest.atom"
    if len(sent) > MAX_URL_LENGTH:
        raise invalid("hub.topic", f"is longer than {MAX_URL_LENGTH} characters", fix)
    if not _URL_CHARACTERS.fullmatch(sent):
        raise invalid("hub.topic", "has a fragment, or characters that are invalid in a URL", fix)
    parts = _URL.fullmatch(sent)
    prefix = URL(site).raw_path.rstrip("/")
    if parts is None or not _is_origin(parts["origin"], site) or not parts["path"].startswith(prefix):
        raise invalid("hub.topic", "is not on this site", fix)
    path = parts["path"].removeprefix(prefix)
    if not _FEED_PATH.fullmatch(path) or _DOT_SEGMENT.search(path):
        raise invalid("hub.topic", "is not a feed", fix)
    return f"{site}{path}{parts['query'] or ''}"


def _is_origin(sent: str, site: str) -> bool:
    """Return whether two origins are the same, whatever their case and whether they name the default port."""
    try:
        sent_url, home = URL(sent), URL(site)
        parts = (sent_url.scheme, sent_url.raw_host, sent_url.port)
    except ValueError:
        return False
    return "@" not in sent and parts == (home.scheme, home.raw_host, home.port)


def _required(parameters: dict[str, str], name: str) -> str:
    if name not in parameters:
        raise invalid(name, "is missing", "send it, with a value")
    return parameters[name]


def _mode(parameters: dict[str, str]) -> Mode:
    sent = _required(parameters, "hub.mode")
    if sent == "publish":
        raise invalid("hub.mode", "is 'publish'", "send nothing: the hub notices by itself what this site publishes")
    try:
        return Mode(sent)
    except ValueError:
        raise invalid("hub.mode", "is not a mode of this hub", "send 'subscribe' or 'unsubscribe'") from None


def _lease(sent: str | None) -> int | None:
    if sent is None:
        return None
    if not (sent.isascii() and sent.isdigit()):
        raise invalid("hub.lease_seconds", "is not a whole number of seconds", "send digits only, or leave it out")
    return int(sent.lstrip("0")[:10] or "0")


def _check_secret(secret: str | None) -> None:
    if secret is not None and len(secret.encode()) > MAX_SECRET_BYTES:
        raise invalid(
            "hub.secret", f"is longer than {MAX_SECRET_BYTES} bytes", "send random text of for example 43 characters"
        )
