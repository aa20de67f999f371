"""E-mail addresses: validated by syntax, in one normal form."""

from email_validator import EmailNotValidError, EmailSyntaxError, validate_email

from newswire.validation.characters import label_violation

MAX_ADDRESS_LENGTH = 254
"""Characters of an address in an SMTP command (RFC 5321, section 4.5.3.1.3, without the angle brackets)."""

_INVISIBLE = "\u00ad\u200b\u200c\u200d\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2060\u2066\u2067\u2068\u2069\ufeff"
"""Characters that come along where an address is copied from a page or a mail, and cannot be seen."""
_SURROUNDING = f" \t\r\n\x0b\x0c\u00a0\u2007\u202f\u3000{_INVISIBLE}"


class InvalidAddressError(ValueError):
    """The text is not an e-mail address that mail can be sent to; the message says why."""


def check_address(address: str) -> str:
    """Return an address in its normal form, its domain in ASCII (IDNA 2008).

    The domain is not looked up: that would let strangers make this server send DNS queries, and tell little.

    Raises:
        InvalidAddressError: it is not an address, too long, or has a local part that needs SMTPUTF8 or quotes.
    """
    trimmed = address.strip(_SURROUNDING)
    if not trimmed:
        raise InvalidAddressError("enter an e-mail address")
    if len(trimmed) > MAX_ADDRESS_LENGTH:
        raise InvalidAddressError(f"an e-mail address has at most {MAX_ADDRESS_LENGTH} characters")
    if label_violation(trimmed):
        raise InvalidAddressError("this address has a character that addresses do not have")
    try:
        found = validate_email(trimmed, allow_smtputf8=False, check_deliverability=False, strict=True)
    except EmailSyntaxError as error:
        raise InvalidAddressError(str(error)) from None
    except (EmailNotValidError, UnicodeError) as error:
        raise InvalidAddressError(str(error) or "this is not an e-mail address") from None
    normal = found.ascii_email
    if normal is None or len(normal) > MAX_ADDRESS_LENGTH:
        raise InvalidAddressError(f"an e-mail address has at most {MAX_ADDRESS_LENGTH} characters")
    return normal


def domain_of(address: str) -> str:
    """Return the domain of a checked address, in lower case."""
    return address.rpartition("@")[2].lower()
