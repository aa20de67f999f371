"""Metrics of several processes as one page in the Prometheus text format."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from prometheus_client import generate_latest
from prometheus_client.core import Metric
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector


def parse(text: str, labels: Mapping[str, str]) -> list[Metric]:
    """Return the families of one page, each sample with these labels added.

    Raises:
        ValueError: this is no page of metrics.
    """
    families = list(text_string_to_metric_families(text))
    for family in families:
        family.samples = [sample._replace(labels={**sample.labels, **labels}) for sample in family.samples]
    return families


def merged(pages: Iterable[Iterable[Metric]]) -> bytes:
    """Return one page with the samples of all, each family described once: the format demands it."""
    families: dict[str, Metric] = {}
    for page in pages:
        for family in page:
            if family.name in families:
                families[family.name].samples.extend(family.samples)
            else:
                families[family.name] = family
    return generate_latest(_Families(list(families.values())))


@dataclass(frozen=True, slots=True)
class _Families(Collector):
    families: list[Metric]

    def collect(self) -> Iterator[Metric]:
        return iter(self.families)
