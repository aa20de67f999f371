"""The declared audit log: what each route and command that changes something writes. The first row whose pattern matches counts.

A route or command without a row fails the tests.
"""

import re
from dataclasses import dataclass

from newswire.observability.audit import Act


@dataclass(frozen=True)
class AuditRow:
    """The acts that a route or command records, one entry for each act; or why it records none."""

    matches: str
    acts: frozenset[Act] = frozenset()
    reason: str = ""


def _acts(matches: str, *acts: Act) -> AuditRow:
    return AuditRow(matches, frozenset(acts))


def _none(matches: str, reason: str) -> AuditRow:
    return AuditRow(matches, reason=reason)


BY_KEY = "at a high rate; each version of an article has the id of the key that wrote it, and the time"
READER = "the act of a reader: the proof of consent has it, and the log names no readers"
NOTHING = "changes nothing that is stored"
READS = "reads only"
DERIVED = "the index is derived from the records and holds nothing else"
OWN_BROWSER = "a choice or session of one browser"
SENT_LATER = "asks for a mail; the entry is written when the link in it is made"
_SUBSCRIPTION_FORM = (Act.SUBSCRIPTION_PAUSED, Act.SUBSCRIPTION_RESUMED, Act.SUBSCRIPTION_ENABLED)
_DRAFT_ACTS = (Act.ARTICLE_PUBLISHED, Act.ARTICLE_SCHEDULED, Act.ARTICLE_UPDATED, Act.ARTICLE_CORRECTED)

ROUTES = (
    # Articles and labels
    _acts("DELETE /v1/admin/articles/{article_id}", Act.ARTICLE_RETRACTED),
    _acts("POST /v1/admin/articles/{article_id}/release", Act.ARTICLE_RELEASED),
    _acts(
        "DELETE /v1/articles/({article_id}|by-external-id/{external_id})", Act.ARTICLE_RETRACTED, Act.ARTICLE_CANCELLED
    ),
    _none("(POST|PUT|PATCH) /v1/articles.*", BY_KEY),
    _acts("POST /v1/topics/merge", Act.LABEL_MERGED),
    # Drafts
    _acts("POST /v1/drafts", Act.DRAFT_CREATED),
    _acts("PUT /v1/drafts/{draft_id}", Act.DRAFT_SAVED),
    _acts("DELETE /v1/drafts/{draft_id}", Act.DRAFT_DISCARDED),
    _acts("POST /v1/drafts/{draft_id}/recover", Act.DRAFT_RECOVERED),
    _acts("POST /v1/drafts/{draft_id}/erase", Act.DRAFT_ERASED),
    _acts("POST /v1/drafts/{draft_id}/revisions/{number}/restore", Act.DRAFT_RESTORED),
    _acts("POST /v1/drafts/{draft_id}/publish", Act.ARTICLE_PUBLISHED),
    _acts("POST /v1/drafts/{draft_id}/schedule", Act.ARTICLE_SCHEDULED),
    _acts("POST /v1/drafts/{draft_id}/update", Act.ARTICLE_UPDATED),
    _acts("POST /v1/drafts/{draft_id}/correct", Act.ARTICLE_CORRECTED),
    # Images
    _acts("POST (/v1|/desk)/media", Act.MEDIA_ADDED),
    _acts("PATCH /v1/media/{media_id}", Act.MEDIA_CHANGED),
    _acts("DELETE /v1/media/{media_id}", Act.MEDIA_DELETED),
    # Accounts, keys and users
    _acts("POST /v1/accounts", Act.ACCOUNT_CREATED),
    _acts(
        "PATCH /v1/accounts/{name}",
        Act.ACCOUNT_LIMITED,
        Act.ACCOUNT_ENTITLED,
        Act.ACCOUNT_DISABLED,
        Act.ACCOUNT_ENABLED,
    ),
    _acts("POST /v1/keys", Act.KEY_CREATED, Act.ACCOUNT_CREATED),
    _acts("POST /v1/keys/{key_id}/rotate", Act.KEY_ROTATED),
    _acts("DELETE /v1/keys/{key_id}", Act.KEY_REVOKED),
    _acts("POST /v1/users", Act.USER_CREATED),
    _acts("PATCH /v1/users/{user_id}", Act.USER_CHANGED, Act.USER_DISABLED, Act.USER_ENABLED),
    _acts("DELETE /v1/users/{user_id}", Act.USER_DELETED),
    _acts("POST /v1/users/{user_id}/links", Act.USER_LINKED),
    _acts("POST /v1/users/{user_id}/sign-out", Act.USER_SIGNED_OUT),
    # Subscriptions, deliveries and the portal
    _none("POST /v1/subscriptions/preview", NOTHING),
    _acts("POST (/v1/subscriptions|/portal/new)", Act.SUBSCRIPTION_CREATED),
    _acts("(PUT|PATCH) /v1/subscriptions/{subscription_id}", Act.SUBSCRIPTION_CHANGED),
    _acts("POST /portal/subscriptions/{subscription_id}/edit", Act.SUBSCRIPTION_CHANGED),
    _acts("DELETE /v1/subscriptions/{subscription_id}", Act.SUBSCRIPTION_DELETED),
    _acts("POST /portal/subscriptions/{subscription_id}/delete", Act.SUBSCRIPTION_DELETED),
    _acts("POST /v1/(admin/)?subscriptions/{subscription_id}/pause", Act.SUBSCRIPTION_PAUSED),
    _acts("POST /v1/(admin/)?subscriptions/{subscription_id}/resume", Act.SUBSCRIPTION_RESUMED),
    _acts("DELETE /v1/admin/subscriptions/{subscription_id}", Act.SUBSCRIPTION_ENDED),
    _acts("POST /v1/subscriptions/{subscription_id}/enable", Act.SUBSCRIPTION_ENABLED),
    _acts("POST /v1/subscriptions/{subscription_id}/test", Act.SUBSCRIPTION_TESTED),
    _acts("POST /v1/subscriptions/{subscription_id}/secret/rotate", Act.SECRET_ROTATED),
    _acts(
        "POST /portal/subscriptions/{subscription_id}", *_SUBSCRIPTION_FORM, Act.SUBSCRIPTION_TESTED, Act.SECRET_ROTATED
    ),
    _acts("POST /v1/subscriptions/{subscription_id}/(deliveries/{delivery_id}/)?replay", Act.DELIVERIES_REPLAYED),
    _acts("POST /v1/subscriptions/{subscription_id}/deliveries/{delivery_id}/cancel", Act.DELIVERY_CANCELLED),
    _acts(
        "POST /portal/subscriptions/{subscription_id}/deliveries/{delivery_id}",
        Act.DELIVERIES_REPLAYED,
        Act.DELIVERY_CANCELLED,
    ),
    _acts("POST /portal/subscriptions/{subscription_id}/replay", Act.DELIVERIES_REPLAYED),
    _acts("POST /v1/dead-letters/{delivery_id}/retry", Act.DEAD_LETTER_RETRIED),
    _acts("DELETE /v1/dead-letters/{delivery_id}", Act.DEAD_LETTER_DROPPED),
    _acts("POST /v1/portal-links", Act.PORTAL_LINKED),
    _acts("POST /portal/open", Act.PORTAL_OPENED),
    _acts("POST /portal/keys", Act.KEY_CREATED, Act.KEY_REVOKED),
    _none("POST /portal/signatures", NOTHING),
    _none("POST /portal/leave", OWN_BROWSER),
    _none("POST /v1/stream/tokens", "stores nothing: a token is signed, bound to its key and short-lived"),
    _none("POST /hub", "subscribers have no key: the hub asks the callback for its consent, and the lease has it"),
    # Newsletters
    _acts("POST /v1/newsletters", Act.NEWSLETTER_CREATED),
    _acts("(PUT|PATCH) /v1/newsletters/{newsletter_id}", Act.NEWSLETTER_CHANGED),
    _acts("DELETE /v1/newsletters/{newsletter_id}", Act.NEWSLETTER_DELETED),
    _none("POST /newsletters/{slug}/.*", READER),
    # Pages of users
    _acts("POST (/sign-in|/sign-in/{token})", Act.USER_SIGNED_IN),
    _acts("POST /sign-in/passkey", Act.USER_SIGNED_IN, Act.USER_PASSKEY_CLONED),
    _acts("POST /sign-out", Act.USER_SIGNED_OUT),
    _acts("POST (/invitation|/reset-password)/{token}", Act.USER_PASSWORD_SET, Act.USER_SIGNED_IN),
    _none("POST /forgot-password", SENT_LATER),
    _acts("POST /account/name", Act.USER_CHANGED),
    _acts("POST /account/password", Act.USER_PASSWORD_SET),
    _none(
        "POST (/sign-in|/account/prove|/account)/openid/{provider}",
        "leads to a provider; entries are made when the person comes back",
    ),
    _acts("POST /account/password/remove", Act.USER_PASSWORD_REMOVED),
    _acts("POST /account/identities/remove", Act.USER_IDENTITY_UNLINKED),
    _none("POST /account/prove", OWN_BROWSER),
    _acts("POST /account/prove/passkey", Act.USER_PASSKEY_CLONED),
    _acts("POST /account/passkeys", Act.USER_PASSKEY_ADDED),
    _acts("POST /account/passkeys/remove", Act.USER_PASSKEY_REMOVED),
    _acts("POST /account/sessions/end", Act.USER_SIGNED_OUT),
    _acts("POST /users", Act.USER_CREATED, Act.USER_LINKED),
    _acts("POST /users/{user_id}", Act.USER_CHANGED, Act.USER_LINKED, Act.USER_DISABLED, Act.USER_ENABLED),
    # Pages of the desk
    _acts("POST (/desk/drafts|/desk/articles/{article_id}/draft)", Act.DRAFT_CREATED),
    _acts("(PUT|POST) /desk/drafts/{draft_id}", Act.DRAFT_SAVED),
    _acts("POST /desk/drafts/{draft_id}/discard", Act.DRAFT_DISCARDED),
    _acts("POST /desk/drafts/{draft_id}/recover", Act.DRAFT_RECOVERED),
    _acts("POST /desk/drafts/{draft_id}/revisions/{number}", Act.DRAFT_RESTORED),
    _none("POST /desk/drafts/{draft_id}/preview", "changes no article and no draft: its link expires"),
    _acts("POST /desk/drafts/{draft_id}/{act}", *_DRAFT_ACTS),
    _acts("POST /desk/articles/{article_id}/retract", Act.ARTICLE_RETRACTED, Act.ARTICLE_CANCELLED),
    _acts("POST /desk/keys", Act.KEY_CREATED, Act.KEY_REVOKED),
    _acts("POST /desk/labels", Act.LABEL_MERGED),
    _acts("POST /desk/imports", Act.IMPORT_UPLOADED),
    _acts("POST /desk/imports/{import_id}/start", Act.IMPORT_STARTED),
    _acts("POST /desk/imports/{import_id}/cancel", Act.IMPORT_CANCELLED),
    _acts("POST /desk/imports/{import_id}/remove", Act.IMPORT_REMOVED),
    _none("POST /desk/zone", OWN_BROWSER),
)

BY_HTTP = "sends requests to the interface with a key; the row of the route counts"
COMMANDS = (
    _acts("accounts create", Act.ACCOUNT_CREATED),
    _acts("accounts limit", Act.ACCOUNT_LIMITED),
    _acts("accounts set", Act.ACCOUNT_ENTITLED),
    _acts("accounts disable", Act.ACCOUNT_DISABLED),
    _acts("accounts enable", Act.ACCOUNT_ENABLED),
    _acts("articles retract", Act.ARTICLE_RETRACTED),
    _acts("articles release", Act.ARTICLE_RELEASED),
    _acts("backup", Act.BACKUP_MADE),
    _acts("restore", Act.BACKUP_RESTORED),
    _acts("archive adopt", Act.ARCHIVE_ADOPTED),
    _acts("rename-keys", Act.KEYS_RENAMED),
    _acts("dead-letters drop", Act.DEAD_LETTER_DROPPED),
    _acts("dead-letters retry", Act.DEAD_LETTER_RETRIED),
    _acts("keys create", Act.KEY_CREATED, Act.ACCOUNT_CREATED),
    _acts("keys revoke", Act.KEY_REVOKED),
    _acts("keys rotate", Act.KEY_ROTATED),
    _acts("newsletters erase", Act.SUBSCRIBER_ERASED),
    _acts("newsletters export", Act.SUBSCRIBERS_EXPORTED),
    _acts("newsletters import", Act.SUBSCRIBERS_IMPORTED),
    _acts("portal-link", Act.PORTAL_LINKED),
    _acts("subscriptions end", Act.SUBSCRIPTION_ENDED),
    _acts("subscriptions pause", Act.SUBSCRIPTION_PAUSED),
    _acts("subscriptions resume", Act.SUBSCRIPTION_RESUMED),
    _acts("topics merge", Act.LABEL_MERGED),
    _acts("users create", Act.USER_CREATED, Act.USER_LINKED),
    _acts("users delete", Act.USER_DELETED),
    _acts("users disable", Act.USER_DISABLED),
    _acts("users enable", Act.USER_ENABLED),
    _acts("users link", Act.USER_LINKED),
    _acts("users set-roles", Act.USER_CHANGED),
    _acts("users sign-out", Act.USER_SIGNED_OUT),
    _none("import|publish|subscribe|drafts discard|media (add|delete)|newsletters create", BY_HTTP),
    _none(
        r"(\w+ )?list|audit list|dead-letters list|doctor|drafts (show|export)|export|listen|(media|archive) check|"
        "archive status|search|status",
        READS,
    ),
    _none("newsletters dkim-key", "writes a file of the operator's, and stores nothing in Newswire"),
    _none("archive run", "moves texts to another place, where they are read as before"),
    _none("reindex|verify", DERIVED),
    _none("redis-acl", "prints the permissions of users in Redis, and changes nothing"),
    _none("elasticsearch-role", "prints a role of Elasticsearch, and changes nothing"),
    _none("run|serve", "starts processes; what they change is recorded by them"),
)


def audit_row(table: tuple[AuditRow, ...], name: str) -> AuditRow | None:
    """Return the row of a route, written as ``POST /v1/keys``, or of a command."""
    plain = name.replace(":path}", "}")
    return next((row for row in table if re.fullmatch(re.sub(r"[{}]", r"\\\g<0>", row.matches), plain)), None)
