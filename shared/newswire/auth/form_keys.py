"""API keys that users create in a browser. A form that is sent twice creates one key, and both responses show its secret.

The secret is derived from the session and the form, and is not stored.
"""

import hashlib
import hmac
from datetime import UTC, datetime, timedelta

from ulid import ULID

from newswire.auth.credentials import KEY_PREFIX
from newswire.validation.characters import label_violation

FORM_FIELD = "act"
FORM_LIFETIME = timedelta(days=1)
MAX_KEYS = 1000
"""Valid and revoked ones of an account, beyond which only the operator creates more."""
MAX_LABEL_CHARS = 200


def new_form_id() -> str:
    """Return the id of a new form."""
    return str(ULID()).lower()


def token_of(session_token: str, form_id: str, now: datetime | None = None) -> str | None:
    """Return the token of the key that a form creates: always the same one. None if the form is none of the last day."""
    try:
        made = ULID.from_str(form_id.upper()).datetime
    except ValueError:
        return None
    age = (now or datetime.now(UTC)) - made
    if not timedelta(minutes=-1) < age < FORM_LIFETIME or form_id != form_id.lower():
        return None
    secret = hmac.digest(session_token.encode(), f"newswire key {form_id}".encode(), hashlib.sha256).hex()
    return f"{KEY_PREFIX}{form_id}_{secret[:48]}"


def is_key_label(label: str) -> bool:
    """Return whether a key may have this label; '' stands for none."""
    return len(label) <= MAX_LABEL_CHARS and not (label and label_violation(label))
