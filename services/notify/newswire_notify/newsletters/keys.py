"""The Redis keys of newsletters: every family, with its type and lifetime. They are in the Redis of the deliveries."""

from dataclasses import dataclass

from newswire.keys import Keyspace

FAMILIES = {
    "newsletter": "hash: a newsletter; it stays for ever, since its slug is in the List-Id of mails that were sent",
    "newsletter_slugs": "hash: slug to the id of its newsletter",
    "newsletters": "sorted set by account: its newsletters, scored by the time of their creation in ms",
    "newsletters_active": "set: the ids of newsletters that articles are matched against",
    "newsletters_deleted": "set: the ids of deleted newsletters that have subscribers to be erased",
    "newsletters_changed": "string: counts the changes of newsletters; who keeps copies reads them again when it moves",
    "newsletter_subscriber": "hash: a subscriber; deleted when it is erased",
    "newsletter_addresses": "hash by newsletter: keyed hash of an address to its subscriber",
    "newsletter_members": "sorted set by newsletter: all its subscribers, scored by the time of their sign-up in ms",
    "newsletter_counts": "hash by newsletter: how many subscribers are in each state",
    "newsletter_audience": "sorted set by newsletter and delivery group: the active subscribers that get mail together",
    "newsletter_schedule": "sorted set: `newsletter|group` of the digests, scored by the time at which each is due in ms",
    "newsletter_reminders": "sorted set: unconfirmed subscribers, scored by the time of their reminder in ms",
    "newsletter_expiring": "sorted set: subscribers to be erased, scored by the time of that in ms",
    "newsletter_suppressed": "hash by scope: keyed hash of an address to the reason why it gets no mail; it outlives erasure",
    "newsletter_pepper": "string: the secret of the keyed hashes",
    "newsletter_limit": "sorted set by scope: recent sign-ups, scored by their time in s; it expires after an hour or a day",
    "newsletter_items": "sorted set by newsletter: the articles that matched lately, scored by their sequence number",
    "newsletter_item_topics": "hash by newsletter: article to the topics of the newsletter that it matched",
    "newsletter_corrections": "sorted set by newsletter: corrected articles, scored by the sequence number of the correction",
    "newsletter_seq": "hash: newsletter to the sequence number of its newest item",
    "newsletter_issue": "hash: an issue and how many of its mails ended how; it expires",
    "newsletter_issues": "sorted set by newsletter: its issues, scored by their time in ms",
    "newsletter_issue_mails": "hash by issue: subscriber to the state of the mail; it expires",
    "newsletter_expanding": "sorted set: issues of which not all mails are planned yet",
    "newsletter_queue": "sorted set by priority: `issue|subscriber` of planned and deferred mails, scored by their due time in ms",
    "newsletter_soft_bounces": "hash by subscriber: days on which mail could not be delivered; it expires",
}
"""Each first part of a key, with what it holds."""


@dataclass(frozen=True, slots=True)
class NewsletterKeys:
    """The names of the keys of newsletters."""

    keyspace: Keyspace

    def key(self, family: str, *parts: str) -> str:
        """Return a key of a declared family."""
        if family not in FAMILIES:
            raise KeyError(family)
        return self.keyspace.deliveries.key(family, *parts)

    @property
    def prefix(self) -> str:
        """What the names of all keys begin with, for the Redis functions."""
        return self.keyspace.deliveries.key("")
