"""Checks the names and e-mail addresses of users."""

from newswire.users.models import InvalidUserError
from newswire.validation.characters import label_violation
from newswire.validation.email_addresses import InvalidAddressError, check_address

MAX_NAME_CHARS = 100


def check_email(email: str) -> str:
    """Return an e-mail address in its normal form.

    Raises:
        InvalidUserError: it is not an address that mail can be sent to.
    """
    try:
        return check_address(email)
    except InvalidAddressError as error:
        raise InvalidUserError("email", str(error)) from None


def check_name(name: str) -> str:
    """Return a person's name without surrounding spaces.

    Raises:
        InvalidUserError: it is empty, too long, or contains characters that names do not have.
    """
    trimmed = name.strip()
    if not trimmed or len(trimmed) > MAX_NAME_CHARS:
        raise InvalidUserError("name", f"a name has 1 to {MAX_NAME_CHARS} characters")
    if violation := label_violation(trimmed):
        raise InvalidUserError("name", f"a name must not contain {violation}")
    return trimmed
