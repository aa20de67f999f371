"""The cost of finding the subscriptions that an article matches, among many.

The floor: the article is analysed once, and the index entries of the matching filters are read.
"""

import itertools
import random
import re
import statistics
import time
from collections import Counter
from collections.abc import Iterator, Sequence

import orjson
import psutil
from redis.asyncio import Redis

from bench.articles import Article
from bench.figures import Figure, Goal, compared
from bench.publishing import versions
from bench.servers import KEYS
from bench.setting import Setting, powers_of_ten
from newswire.events import ArticlePublished
from newswire.filters import ArticleFeatures, Filter
from newswire.storage.redis_client import open_redis
from newswire.storage.redis_functions import Call
from newswire_notify.deliveries.queue import Queue
from newswire_notify.fanout.filter_features import feature_keys
from newswire_notify.fanout.filter_index import FilterIndex
from newswire_notify.fanout.matcher import Matcher
from newswire_notify.settings import NotifySettings
from newswire_notify.subscriptions.account_limits import NO_LIMITS
from newswire_notify.subscriptions.models import SubscriptionCriteria
from tests.servers.valkey import embedded_valkey

ARTICLES, MADE = 20, 25
"""Articles that are matched, and filters made of each; some others match it too, about a hundred in all."""
FEWEST = 10_000
EVENTS = ["published", "retracted"]
CHUNK = 1000
RARE = 5
"""Maximum number of articles with a rare word."""


async def measure(setting: Setting) -> list[Figure]:
    """Return the time of one article for each number of subscriptions, and the ratio of the most to the fewest."""
    dice = random.Random(2)
    made = versions(setting.articles[:ARTICLES], "bench")
    articles = [ArticlePublished.model_validate(version.document) for version in made]
    filters = list(_filters(articles, setting.articles, setting.some(setting.filters), dice))
    most = setting.some(setting.subscriptions)
    sizes = sorted({*powers_of_ten(FEWEST, most), most})
    kept: list[FilterIndex] = []  # otherwise memory left by one would hide that of another
    figures = []
    with embedded_valkey() as server:
        async with open_redis(f"redis://127.0.0.1:{server.port}/0") as redis:
            empty = await _memory(redis)
            for before, count in itertools.pairwise([0, *sizes]):
                await _subscribe(setting, redis, filters, range(before, count))
                stored = await _memory(redis) - empty
                index, detail = await _load(setting, redis, articles, count)
                kept.append(index)
                detail["redis_bytes_a_subscription"] = stored / count
                figures.append(_matched(setting, index, articles, count, detail))
    if len(figures) > 1:
        few, many = figures[0].ours, figures[-1].ours
        name = f"match one article against {sizes[-1]:,} subscriptions (floor: {sizes[0]:,})"
        figures.append(Figure(name, "ms", many, few, many / few))
    return figures


async def _load(
    setting: Setting, redis: "Redis", articles: Sequence[ArticlePublished], count: int
) -> tuple[FilterIndex, dict[str, float]]:
    """Load all filters as a starting process does; return them, and the cost of that."""
    setting.tell("reading the filters")
    matcher = Matcher(redis, KEYS)
    before, began = psutil.Process().memory_info().rss, time.perf_counter()
    await matcher.catch_up()
    start = time.perf_counter() - began
    for article in articles:
        matcher.index.match(article)
    held = psutil.Process().memory_info().rss - before
    return matcher.index, {"start_seconds": start, "matcher_bytes_a_subscription": held / count}


def _matched(
    setting: Setting, index: FilterIndex, articles: Sequence[ArticlePublished], count: int, detail: dict[str, float]
) -> Figure:
    rounds, matched = [], []
    for _ in setting.steps(f"matching against {count:,}", range(4 * setting.rounds)):
        ours, floors = [], []
        for article in articles:
            floors.append(_floor(article, index))
            began = time.perf_counter()
            found = index.match(article)
            ours.append((time.perf_counter() - began) * 1000)
            matched.append(len(found))
        rounds.append((statistics.median(ours), statistics.median(floors)))
    name = f"match one article against {count:,} subscriptions, {len(index):,} filters"
    return compared(name, "ms", rounds, Goal("at most", 2), matches=statistics.median(matched), **detail)


async def _memory(redis: "Redis") -> int:
    return int((await redis.info("memory"))["used_memory"])


def _floor(article: ArticlePublished, index: FilterIndex) -> float:
    wanted = index.match(article)
    filed = index._languages[ArticleFeatures.of(article).language]
    shelves = {min(filed._filters[digest].under) for digest in wanted}
    began = time.perf_counter()
    feature_keys(ArticleFeatures.of(article))
    ids = [digest for shelf in shelves for digest in filed._under[shelf]]
    spent = time.perf_counter() - began
    if not ids:
        raise RuntimeError("nothing matched")
    return spent * 1000


def _filters(
    articles: Sequence[ArticlePublished], others: Sequence[Article], count: int, dice: random.Random
) -> Iterator[Filter]:
    """Create filters of all kinds: each article matches those made of it, some made of the others, and few of the rest."""
    seen: set[str] = set()

    def fresh(filter_: Filter) -> bool:
        before = len(seen)
        seen.add(filter_.digest())
        return len(seen) > before

    planted = min(MADE, count // len(articles) // 2)
    for article in articles:
        made = 0
        while made < planted:
            if fresh(filter_ := _filter(article.text, article.category, article.topics, dice)):
                made += 1
                yield filter_
    common = Counter(word for other in others for word in set(_words(other["body"])))
    rare = sorted(word for word, count in common.items() if count <= RARE)
    while len(seen) < count:
        other = dice.choice(others)
        text, topics = " ".join(_words(other["body"])), other["topics"]
        if fresh(filter_ := _filter(text, other["category"], topics, dice, f" {dice.choice(rare)}")):
            yield filter_


def _words(body: str) -> list[str]:
    return re.findall(r"[^\W_]{2,}", re.sub(r"<[^>]*>|&\w+;", " ", body))


def _filter(text: str, category: str | None, topics: list[str], dice: random.Random, besides: str = "") -> Filter:
    """Create one filter from an article; ``besides`` is a rare word that must match too, so that few articles match."""
    words = re.findall(r"[^\W_]{2,}", text)
    at = dice.randrange(len(words) - 3)
    match dice.randrange(4):
        case 0:
            return Filter(query=f'"{" ".join(words[at : at + 2])}"{besides}')
        case 1:
            return Filter(query=f"{words[at]} {dice.choice(words)}{besides}", categories=[category] if category else [])
        case 2:
            return Filter(query=f"{words[at]}{besides}", topics=topics[:1])
        case _:
            return Filter(query=f"{words[at]} OR {dice.choice(words)} -unheardof{besides}", topics=topics[:2])


def _asked(filter_: Filter) -> tuple[str, dict[str, str]]:
    """Return the digest of a subscription's criteria, and the fields that define it."""
    wanted = orjson.dumps(filter_.model_dump(mode="json", exclude_defaults=True)).decode()
    return SubscriptionCriteria(filter_, EVENTS).digest(), {"filter": wanted, "events": ",".join(EVENTS)}


async def _subscribe(setting: Setting, redis: "Redis", filters: Sequence[Filter], numbers: range) -> None:
    """Store subscriptions as the API does, many at a time."""
    queue = Queue(redis, KEYS, retention=NotifySettings().retention)
    await queue.functions.load()
    name, meanings = queue.functions.full_name("subscribe"), [_asked(filter_) for filter_ in filters]
    for at in setting.steps(f"{numbers.stop:,} subscriptions, in thousands", numbers[::CHUNK]):
        async with redis.pipeline(transaction=False) as pipe:
            for number in range(at, min(at + CHUNK, numbers.stop)):
                digest, asked = meanings[number % len(meanings)]
                arguments = {
                    "prefix": queue.prefix,
                    "id": f"sub_{number}",
                    "account": f"account-{number % 1000}",
                    "digest": digest,
                    "newest_entry": "0-0",
                    "limits": NO_LIMITS,
                    "created": 0,
                    "fields": {"schema": 1, "url": "https://example.com/hook", "status": "active", **asked},
                }
                pipe.execute_command(*Call("subscribe", (), arguments).command(name))
            await pipe.execute()
