"""The parameters of every measurement: duration, input, and shared servers."""

import itertools
import resource
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from bench.articles import Article, from_corpus, made_up
from tests.servers.elasticsearch import ElasticsearchServer, elasticsearch_server

T = TypeVar("T")
ALL_ARTICLES = 20_000
"""The maximum taken of a corpus."""


@dataclass
class Setting:
    """The parameters of a measurement. ``seconds`` is the length of a round."""

    folder: Path
    stack: ExitStack
    tell: Callable[[str], None]
    quick: bool = False
    corpus: Path | None = None
    subscriptions: int = 100_000
    filters: int = 5_000
    readers: int = 500
    on_record: int = 100_000
    subscribers: int = 10_000
    digests: int = 100_000
    before: Path | None = None
    """The `newswire` command of an earlier release, for `cost`."""
    _articles: list[Article] = field(default_factory=list)
    _elasticsearch: ElasticsearchServer | None = None

    @property
    def rounds(self) -> int:
        return 2 if self.quick else 5

    @property
    def seconds(self) -> float:
        return 0.6 if self.quick else 4.0

    def some(self, count: int) -> int:
        """Return a count; a tenth of it in a quick run."""
        return count // 10 if self.quick else count

    @property
    def articles(self) -> list[Article]:
        """Some thousand different articles."""
        if not self._articles:
            self._articles = from_corpus(self.corpus, 5000) if self.corpus else made_up(self.some(5000))
        return self._articles

    @property
    def all_articles(self) -> list[Article]:
        """All articles of the corpus, if there is one."""
        return from_corpus(self.corpus, ALL_ARTICLES) if self.corpus else self.articles

    def elasticsearch(self) -> ElasticsearchServer:
        """Return an Elasticsearch, started on first use; it runs until the end.

        Raises:
            ServerUnavailableError: none is available on this machine.
        """
        if self._elasticsearch is None:
            self.tell("starting Elasticsearch")
            self._elasticsearch = self.stack.enter_context(elasticsearch_server())
        return self._elasticsearch

    def steps(self, what: str, items: Iterable[T]) -> Iterator[T]:
        """Iterate over rounds, and show the progress."""
        listed = list(items)
        for number, item in enumerate(listed, start=1):
            self.tell(f"{what}, {number} of {len(listed)}")
            yield item


def powers_of_ten(fewest: int, most: int) -> list[int]:
    """Return ``fewest``, ten times as many, and so on, up to ``most``."""
    return list(itertools.takewhile(lambda size: size <= most, (fewest * 10**n for n in itertools.count())))


def allow_many_files() -> None:
    """Raise the limit of open files of this process, and of those that it starts, to the maximum."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
