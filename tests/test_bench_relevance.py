"""The relevance measures, checked by hand, and the reading and creation of collections."""

import json
from math import log2
from pathlib import Path

import pytest

from bench.relevance.collection import read, save
from bench.relevance.known_items import KINDS, queries
from bench.relevance.measures import ndcg, recall, reciprocal_rank

GRADES = {"a": 3, "b": 1, "c": 0, "d": 2}


def test_ndcg_by_hand() -> None:
    best = 3 + 2 / log2(3) + 1 / 2
    assert ndcg(["a", "d", "b"], GRADES) == pytest.approx(1.0)
    assert ndcg(["x", "a", "c", "b"], GRADES) == pytest.approx((3 / log2(3) + 1 / log2(5)) / best)
    assert ndcg([], GRADES) == 0.0
    assert ndcg(["a"], {"a": 0}) == 0.0


def test_ndcg_considers_only_the_given_depth() -> None:
    assert ndcg(["x"] * 10 + ["a"], GRADES) == 0.0
    assert ndcg(["a", "d", "b"], GRADES, depth=1) == pytest.approx(1.0)
    many = {f"r{n}": 1 for n in range(20)}
    assert ndcg(list(many)[:10], many) == pytest.approx(1.0)


def test_reciprocal_rank_by_hand() -> None:
    assert reciprocal_rank(["c", "x", "b"], GRADES) == pytest.approx(1 / 3)
    assert reciprocal_rank(["c", "x"], GRADES) == 0.0
    assert reciprocal_rank(["x"] * 10 + ["a"], GRADES) == 0.0


def test_recall_by_hand() -> None:
    assert recall(["b", "c", "x"], GRADES) == pytest.approx(1 / 3)
    assert recall(["x"] * 99 + ["a", "b", "d"], GRADES) == pytest.approx(1 / 3)
    assert recall(["a"], {"a": 0}) == 0.0


def test_a_collection_is_read_with_both_kinds_of_judgements(tmp_path: Path) -> None:
    documents = [
        {"id": 1, "title": "Ferry sails", "body": "One <b>line</b>.\n\nAnother.", "published_at": "2026-03-01"},
        {"id": 2, "title": "", "body": "The storm came. Then it went.", "published_at": "2999-01-01T00:00:00Z"},
    ]
    (tmp_path / "docs.ndjson").write_text("\n".join(map(json.dumps, documents)))
    (tmp_path / "queries.tsv").write_text("q1\tferry\nq2\tstorm\nq3\tnothing is relevant\n")
    (tmp_path / "qrels.tsv").write_text("q1 0 1 2\nq1\t2\t0\nq2\t2\t1\nq3\t1\t0\nq2\tunknown\t1\n")
    found = read(tmp_path)
    assert found.queries == {"q1": "ferry", "q2": "storm"}
    assert found.judgements == {"q1": {"1": 2, "2": 0}, "q2": {"2": 1}, "q3": {"1": 0}}
    assert found.articles["1"] == {
        "title": "Ferry sails",
        "body": "<p>One &lt;b&gt;line&lt;/b&gt;.</p><p>Another.</p>",
        "published_at": "2026-03-01T00:00:00+00:00",
    }
    assert found.articles["2"] == {"title": "The storm came.", "body": "<p>The storm came. Then it went.</p>"}
    assert (found.untitled, found.cut) == (1, 0)


def test_known_item_queries_cover_all_kinds_and_are_reproducible(tmp_path: Path) -> None:
    body = "Yesterday evening the harbour master opened seven heavy gates before another storm reached town."
    documents = [{"id": n, "title": f"Seven gates opened before storm number {n}", "body": body} for n in range(9)]
    made = list(queries(documents, each=3, seed=1))
    assert made == list(queries(documents, each=3, seed=1))
    assert [id_ for id_, _, _ in made] == [f"{kind}-{n}" for kind in KINDS for n in (1, 2, 3)]
    asked = {id_: text for id_, text, _ in made}
    assert asked["title-1"].split() == ["seven", "gates", "opened", "storm", "number"]
    assert sorted(asked["disordered-1"].split()) == sorted(asked["title-1"].split())
    for kind in ("misspelt", "inflected"):
        assert len(set(asked[f"{kind}-1"].split()) - set(asked["title-1"].split())) == 1
    assert set(asked["sentence-1"].split()) < set(body.lower().replace(".", "").split())
    save(tmp_path, documents, made)
    assert len(read(tmp_path).queries) == 15
