"""The Redis keys of subscriptions and deliveries, in the Redis of the deliveries. Only notify writes them."""

from newswire.key_families import KeyFamily, RedisType
from newswire_notify.newsletters.keys import FAMILIES as NEWSLETTERS
from newswire_notify.portal.keys import FAMILIES as PORTAL
from newswire_notify.websub.keys import FAMILIES as HUB

ENDED = "`NEWSWIRE_DELIVERY_RETENTION`"
PLAN = "the longer of `NEWSWIRE_DELIVERY_RETENTION` and `NEWSWIRE_STREAM_RETENTION`, and a day,"
SUBSCRIPTION = "until the subscription is deleted"


def _family(pattern: str, type_: RedisType, holds: str, lifetime: str) -> KeyFamily:
    return KeyFamily(pattern, type_, holds, lifetime, "deliveries")


FAMILIES = (
    _family("subscription:<subscription>", "hash", "a subscription, and the health of its endpoint", SUBSCRIPTION),
    _family(
        "subscriptions:<account>", "zset", "an account's subscriptions, scored by their creation", "while it has one"
    ),
    _family(
        "usage:<account>", "hash", "what an account's subscriptions use of its limits", "while it has a subscription"
    ),
    _family("ended:<subscription>", "hash", "why an operator deleted a subscription", "30 days"),
    _family("disabled", "set", "disabled subscriptions whose owners are still to be notified", "until they are"),
    _family("suspended", "set", "the disabled accounts", "until they are enabled"),
    _family("entitled", "hash", "the entitlement that is applied to each account", "while it has one"),
    _family("filters", "hash", "the filter of each digest", "while a subscription has it"),
    _family("filters:changes", "stream", "changes of filters, for the processes that match", "the newest 10,000"),
    _family("filters:changed", "string", "the number of the last change of a filter", "no expiry"),
    _family("languages", "set", "the languages that articles came in", "no expiry"),
    _family(
        "memberships:<digest>",
        "zset",
        "the current and past members of a digest, scored by when they joined",
        SUBSCRIPTION,
    ),
    _family("past_memberships:<digest>", "zset", "the past members, scored by when they left", SUBSCRIPTION),
    _family("membership_seq", "string", "the number of the last change of memberships", "no expiry"),
    _family(
        "article_recipients:<article>",
        "hash",
        "the digests that an article was sent to",
        f"no expiry; {PLAN} if it was sent to no one",
    ),
    _family("last_decided", "string", "the stream entry of the last planned event", "no expiry"),
    _family("event_plan:<event>", "hash", "an event whose deliveries are enqueued", f"{PLAN} after all are"),
    _family("event_plan:<event>:digests", "list", "the digests that are left", "until all deliveries are enqueued"),
    _family(
        "expanding",
        "zset",
        "the events whose deliveries are still enqueued, in turn",
        "until their number is published",
    ),
    _family("expanding:turns", "string", "the number of the last turn", "no expiry"),
    _family("delivery:<delivery>", "hash", "a delivery, and its first attempt", f"{ENDED} after its end"),
    _family("delivery:<delivery>:attempts", "list", "its later attempts, at most 20", f"{ENDED} after its end"),
    _family(
        "deliveries:<subscription>", "zset", "a subscription's deliveries, scored by their creation", "as each delivery"
    ),
    _family(
        "deliveries:dead",
        "zset",
        "the dead deliveries of all subscriptions, scored by their end",
        "`NEWSWIRE_DEAD_LETTER_RETENTION`",
    ),
    _family("due:<subscription>", "zset", "waiting deliveries, scored by their due time", "until they are claimed"),
    _family(
        "paused:<subscription>", "zset", "the same, while the subscription is paused or disabled", "until it is resumed"
    ),
    _family(
        "in_flight:<subscription>",
        "zset",
        "claimed deliveries, scored by the end of their lease",
        "until they are settled",
    ),
    _family(
        "superseded_in_flight:<subscription>",
        "zset",
        "the same, once a later version is enqueued",
        "until they are settled",
    ),
    _family("pending:<subscription>", "hash", "each article to its delivery that has not ended", "until it ends"),
    _family("endpoints", "zset", "the subscriptions that have work, scored by its time", "until they have none"),
    _family("clock", "string", "the last time that a function has seen", "no expiry"),
    _family("endings:<subscription>", "list", "ended deliveries in the order of their ends, with their size", ENDED),
    _family("history:<subscription>", "hash", "the size of that list, and what was removed early", SUBSCRIPTION),
    _family(
        "histories", "zset", "the subscriptions with ended deliveries, scored by the next trim", "while there is one"
    ),
    _family("progress:<event>", "hash", "how many deliveries of an event have ended", ENDED),
    _family("progressed", "set", "the events whose numbers have changed", "until these are published"),
    _family(
        "responses:<article>",
        "hash",
        "responses of endpoints to an article",
        "until it is retracted, at most the longer retention",
    ),
    _family(
        "response_log:<subscription>",
        "list",
        "the responses of an endpoint in order, with their size",
        "as the responses",
    ),
    _family("backfill:<backfill>", "hash", "the progress of a backfill", f"{ENDED} after its end"),
    _family("backfills", "zset", "the unfinished backfills, scored by their next step", "until they are done"),
    _family("disk-erasure:deliveries", "hash", "up to which erasure the append-only file was rewritten", "no expiry"),
    _family("disk-erasure:deliveries:lease", "string", "a process rewrites the append-only file", "1 hour"),
    *NEWSLETTERS,
    *HUB,
    *PORTAL,
)
