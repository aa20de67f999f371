"""Links in mails outlive changes of the signing secret where they have to."""

from redis.asyncio import Redis

from newswire.auth.signed_tokens import Purpose, SignedTokens
from newswire.keys import Keyspace
from newswire_notify.newsletters.links import Links, LinkState, LinkTarget


async def test_links_that_unsubscribe_stay_valid_after_a_change_of_the_secret(redis: Redis, keys: Keyspace) -> None:
    def links(secret: str) -> Links:
        return Links("https://news.example", SignedTokens(redis, keys, secret=secret), SignedTokens(redis, keys))

    before, after = links("b" * 32), links("a" * 32)
    unsubscribing = (await before.unsubscribing("ferries", "s1", "i1")).rpartition("/")[2]
    preferences = (await before.preferences("ferries", "s1")).rpartition("/")[2]
    assert await after.target(Purpose.NEWSLETTER_UNSUBSCRIBING, "ferries", unsubscribing) == LinkTarget("s1", "i1")
    assert await after.target(Purpose.NEWSLETTER_UNSUBSCRIBING, "bridges", unsubscribing) is LinkState.FORGED
    assert await after.target(Purpose.NEWSLETTER_PREFERENCES, "ferries", preferences) is LinkState.FORGED
