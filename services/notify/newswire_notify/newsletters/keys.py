"""The Redis keys of newsletters: every family, with its type and lifetime. They are in the Redis of the deliveries."""

from dataclasses import dataclass

from newswire.key_families import KeyFamily, RedisType
from newswire.keys import Keyspace


def _family(pattern: str, type_: RedisType, holds: str, lifetime: str) -> KeyFamily:
    return KeyFamily(pattern, type_, holds, lifetime, "deliveries")


FAMILIES = (
    _family(
        "newsletter:<newsletter>",
        "hash",
        "a newsletter; kept, since its slug is in the List-Id of mails that were sent",
        "no expiry",
    ),
    _family("newsletter_slugs", "hash", "slug to the id of its newsletter", "no expiry"),
    _family(
        "newsletters:<account>",
        "zset",
        "its newsletters, scored by the time of their creation in ms",
        "while it has one",
    ),
    _family(
        "newsletters_active", "set", "the ids of newsletters that articles are matched against", "while it is active"
    ),
    _family(
        "newsletters_deleted",
        "set",
        "the ids of deleted newsletters that have subscribers to be erased",
        "until they are",
    ),
    _family(
        "newsletters_changed",
        "string",
        "counts the changes of newsletters; processes with copies reload them when it changes",
        "no expiry",
    ),
    _family("newsletter_subscriber:<subscriber>", "hash", "a subscriber", "until it is erased"),
    _family(
        "newsletter_addresses:<newsletter>",
        "hash",
        "keyed hash of an address to its subscriber",
        "until the subscriber is erased",
    ),
    _family(
        "newsletter_members:<newsletter>",
        "zset",
        "all its subscribers, scored by the time of their sign-up in ms",
        "until a subscriber is erased",
    ),
    _family("newsletter_counts:<newsletter>", "hash", "how many subscribers are in each state", "no expiry"),
    _family(
        "newsletter_audience:<audience>",
        "zset",
        "the active subscribers that get mail together",
        "while a subscriber is active",
    ),
    _family(
        "newsletter_schedule",
        "zset",
        "`newsletter|group` of the digests, scored by the time at which each is due in ms",
        "until it is sent",
    ),
    _family(
        "newsletters_restored",
        "string",
        "when a backup was restored, in ms: digests that were due before are left to the next ones",
        "no expiry",
    ),
    _family(
        "newsletter_reminders",
        "zset",
        "unconfirmed subscribers, scored by the time of their reminder in ms",
        "until it is sent",
    ),
    _family(
        "newsletter_expiring", "zset", "subscribers to be erased, scored by the time of that in ms", "until they are"
    ),
    _family(
        "newsletter_suppressed:<scope>",
        "hash",
        "keyed hash of an address to the reason why it gets no mail",
        "no expiry",
    ),
    _family("newsletter_pepper", "string", "the secret of the keyed hashes", "no expiry"),
    _family(
        "newsletter_limit:<scope>:<sender>", "zset", "recent sign-ups, scored by their time in s", "an hour or a day"
    ),
    _family(
        "newsletter_items:<newsletter>",
        "zset",
        "the articles that matched lately, scored by their sequence number",
        "the newest 2,000",
    ),
    _family(
        "newsletter_item_topics:<newsletter>",
        "hash",
        "article to the topics of the newsletter that it matched",
        "as the articles",
    ),
    _family(
        "newsletter_corrections:<newsletter>",
        "zset",
        "corrected articles, scored by the sequence number of the correction",
        "as the articles",
    ),
    _family("newsletter_seq", "hash", "newsletter to the sequence number of its newest item", "no expiry"),
    _family("newsletter_issue:<issue>", "hash", "an issue and how many of its mails ended how", "30 days"),
    _family("newsletter_issues:<newsletter>", "zset", "its issues, scored by their time in ms", "30 days"),
    _family("newsletter_issue_mails:<issue>", "hash", "subscriber to the state of the mail", "30 days"),
    _family("newsletter_progressed", "set", "alerts whose numbers of mails have changed", "until they are reported"),
    _family("newsletter_expanding", "zset", "issues of which not all mails are planned yet", "until they are"),
    _family(
        "newsletter_due:<priority>:<domain>",
        "zset",
        "`issue|subscriber` of planned and deferred mails to a domain, scored by their due time in ms",
        "until they are sent",
    ),
    _family(
        "newsletter_domains_due:<priority>",
        "zset",
        "the domains that mails wait for, scored by the time at which to look at them in ms",
        "until their mails are sent",
    ),
    _family(
        "newsletter_domain_sent:<domain>",
        "zset",
        "`issue|subscriber|attempt` of the last mails to a domain with a rate, scored by their time in ms",
        "the window of the rate",
    ),
    _family(
        "newsletter_domain_connections:<domain>",
        "zset",
        "the connections with mails to a domain in flight, scored by the end of their lease in ms",
        "the lease",
    ),
    _family(
        "newsletter_slowed",
        "hash",
        "domain that refuses the sender to `level|paused until`",
        "until it accepts a mail",
    ),
    _family("newsletter_sent_on:<day>", "string", "how many mails were sent on a day of a warm-up", "3 days"),
    _family("newsletter_queue:<priority>", "zset", "as `newsletter_due`, of earlier versions", "until the next claim"),
    _family("newsletter_soft_bounces:<subscriber>", "hash", "days on which mail could not be delivered", "some days"),
)
_NAMES = frozenset(family.pattern.partition(":")[0] for family in FAMILIES)


@dataclass(frozen=True, slots=True)
class NewsletterKeys:
    """The names of the keys of newsletters."""

    keyspace: Keyspace

    def key(self, family: str, *parts: str) -> str:
        """Return a key of a declared family."""
        if family not in _NAMES:
            raise KeyError(family)
        return self.keyspace.deliveries.key(family, *parts)

    @property
    def prefix(self) -> str:
        """What the names of all keys begin with, for the Redis functions."""
        return self.keyspace.deliveries.key("")
