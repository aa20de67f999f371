"""The Redis keys of the portal, in the Redis of the records."""

from newswire.key_families import KeyFamily

FAMILIES = (
    KeyFamily(
        "portal-link:<link>", "string", "the account that a link to the portal opens", "1 day, or until it is used"
    ),
    KeyFamily("portal-session:<session>", "string", "a browser in which a link to the portal was opened", "8 hours"),
    KeyFamily("portal-act:<act>", "string", "a form of the portal that was sent, and where its result is", "1 day"),
    KeyFamily(
        "endpoint-warning:<subscription>",
        "string",
        "users were warned that an endpoint fails",
        "`NEWSWIRE_WEBHOOK_DISABLED_AFTER`",
    ),
    KeyFamily("portal-secret:<act>", "string", "a browser that may see a new secret", "5 minutes"),
)
