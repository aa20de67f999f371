"""Metrics of several processes as one page in the Prometheus text format."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from prometheus_client import generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

from newswire_operations.replicas import ReplicaResponse


def metrics_pages(responses: Sequence[ReplicaResponse]) -> list[list[Metric]]:
    """Return the metrics of every replica, and ``newswire_up``: 1 for a replica that returned metrics, 0 for any other."""
    up = GaugeMetricFamily("newswire_up", "Whether a replica returns its metrics", labels=["service", "instance"])
    pages: list[list[Metric]] = [[up]]
    for response in responses:
        page: list[Metric] | None = None
        if response.response is not None and response.response.status_code == 200:
            try:
                page = parse(response.response.text, {"service": response.service, "instance": response.instance})
            except ValueError:
                page = None
        up.add_metric([response.service, response.instance], float(page is not None))
        pages.append(page or [])
    return pages


def parse(text: str, labels: Mapping[str, str]) -> list[Metric]:
    """Return the metric families of one page, each sample with these labels added.

    Raises:
        ValueError: the text is not in the Prometheus text format.
    """
    families = list(text_string_to_metric_families(text))
    for family in families:
        family.samples = [sample._replace(labels={**sample.labels, **labels}) for sample in family.samples]
    return families


def merge(pages: Iterable[Iterable[Metric]]) -> bytes:
    """Return one page with the samples of all pages. Each family is described once, as the format requires."""
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
