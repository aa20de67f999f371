"""Retrieval measures for one query: the ids of the results in order, compared with the grades of the judged documents."""

import math
from collections.abc import Mapping, Sequence

Grades = Mapping[str, int]
"""The relevance of each judged document; 0 and below is not relevant."""


def ndcg(found: Sequence[str], grades: Grades, depth: int = 10) -> float:
    """Return the discounted cumulative gain of the first results as a share of the maximum.

    The gain is the grade, the discount is log2(rank + 1), as in ``ndcg_cut`` of trec_eval.
    """
    best = sorted((grade for grade in grades.values() if grade > 0), reverse=True)[:depth]
    gained = _discounted([max(grades.get(id_, 0), 0) for id_ in found[:depth]])
    return gained / _discounted(best) if best else 0.0


def reciprocal_rank(found: Sequence[str], grades: Grades, depth: int = 10) -> float:
    """Return 1 / the rank of the first relevant result, 0 if none is among the first."""
    ranks = (rank for rank, id_ in enumerate(found[:depth], start=1) if grades.get(id_, 0) > 0)
    return 1 / rank if (rank := next(ranks, 0)) else 0.0


def recall(found: Sequence[str], grades: Grades, depth: int = 100) -> float:
    """Return the share of the relevant documents that are among the first results."""
    relevant = {id_ for id_, grade in grades.items() if grade > 0}
    return len(relevant.intersection(found[:depth])) / len(relevant) if relevant else 0.0


def _discounted(grades: Sequence[int]) -> float:
    return sum(grade / math.log2(rank + 1) for rank, grade in enumerate(grades, start=1))
