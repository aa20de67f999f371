"""A judged collection as files: ``docs.ndjson``, ``queries.tsv`` and ``qrels.tsv`` in one folder.

A line of ``docs.ndjson`` holds ``id``, ``title``, ``body`` (plain text) and ``published_at``; perhaps ``language``, ``summary``,
``authors`` and ``topics``. Queries are ``id TAB text``; judgements ``query TAB document TAB grade``, or TREC's four columns.
"""

import csv
import html
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench.articles import Article
from bench.relevance.measures import Grades
from newswire.text.query import truncate_query

LONGEST_TITLE = 300
LONGEST_BODY = 500_000
"""In characters: what fits into a request of 1 MiB even if every fourth must be escaped."""
TITLE_WORDS = 12


@dataclass(frozen=True)
class Collection:
    """Articles by the ids of the judgements, queries by their ids, and the relevant documents of each."""

    name: str
    articles: Mapping[str, Article]
    queries: Mapping[str, str]
    judgements: Mapping[str, Grades]
    untitled: int
    """The number of documents whose title is the beginning of their text."""
    cut: int
    """The number of bodies, titles and queries that were truncated."""


def read(folder: Path) -> Collection:
    """Read a collection. Queries without relevant documents are omitted, because they do not affect any measure."""
    documents = {str(sent["id"]): sent for sent in _lines(folder / "docs.ndjson")}
    articles = {id_: article(sent) for id_, sent in documents.items()}
    judgements: dict[str, dict[str, int]] = {}
    for query, document, grade in _judgements(folder / "qrels.tsv"):
        if document in articles:
            judgements.setdefault(query, {})[document] = grade
    judged = {query for query, grades in judgements.items() if max(grades.values()) > 0}
    asked = {id_: text for id_, text in _rows(folder / "queries.tsv") if id_ in judged}
    queries = {id_: truncate_query(text) for id_, text in asked.items()}
    cut = sum(
        len(text(sent, "body")) > LONGEST_BODY or len(text(sent, "title")) > LONGEST_TITLE
        for sent in documents.values()
    )
    return Collection(
        folder.name,
        articles,
        queries,
        judgements,
        untitled=sum(not text(sent, "title") for sent in documents.values()),
        cut=cut + sum(queries[id_] != typed for id_, typed in asked.items()),
    )


def article(sent: Mapping[str, Any]) -> Article:
    """Return a document as an article that can be published."""
    body, title = text(sent, "body"), text(sent, "title")
    made: Article = {
        "title": (title or beginning(body) or "Untitled")[:LONGEST_TITLE],
        "body": "".join(f"<p>{html.escape(part)}</p>" for part in re.split(r"\n\s*\n", (body or title)[:LONGEST_BODY])),
    }
    if moment := _past(sent.get("published_at")):
        made["published_at"] = moment
    for name in ("summary", "language", "authors", "topics"):
        if sent.get(name):
            made[name] = sent[name]
    return made


def text(sent: Mapping[str, Any], name: str) -> str:
    """Return a member of a document, without surrounding white space and invalid characters."""
    return str(sent.get(name) or "").replace("\x00", " ").strip()


def beginning(body: str) -> str:
    """Return the first sentence of a text, or its first words if that is long."""
    words = re.split(r"(?<=[.!?])\s", body, maxsplit=1)[0].split()
    return " ".join(words[:TITLE_WORDS])


def save(folder: Path, documents: Iterable[Mapping[str, Any]], asked: Iterable[tuple[str, str, str]]) -> None:
    """Write a collection of documents and of (query id, text, id of the one relevant document)."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = list(asked)
    with (folder / "docs.ndjson").open("w") as file:
        file.writelines(json.dumps(document, ensure_ascii=False) + "\n" for document in documents)
    (folder / "queries.tsv").write_text("".join(f"{id_}\t{words}\n" for id_, words, _ in rows))
    (folder / "qrels.tsv").write_text("".join(f"{id_}\t{document}\t1\n" for id_, _, document in rows))


def _past(moment: Any) -> str | None:
    """Return a date as RFC 3339, or None if it is invalid or in the future."""
    try:
        found = datetime.fromisoformat(str(moment))
    except ValueError:
        return None
    found = found if found.tzinfo else found.replace(tzinfo=UTC)
    return found.isoformat() if found <= datetime.now(UTC) else None


def _lines(file: Path) -> Iterator[dict[str, Any]]:
    with file.open() as lines:
        yield from (json.loads(line) for line in lines if line.strip())


def _rows(file: Path) -> Iterator[tuple[str, str]]:
    for line in file.read_text().splitlines():
        id_, _, words = line.partition("\t")
        if words.strip():
            yield id_.strip(), words.strip()


def _judgements(file: Path) -> Iterator[tuple[str, str, int]]:
    with file.open(newline="") as lines:
        for row in csv.reader((re.sub(r"[ \t]+", "\t", line.strip()) for line in lines), delimiter="\t"):
            if len(row) >= 3 and re.fullmatch(r"-?\d+", row[-1]):
                yield row[0], row[-2], int(row[-1])
