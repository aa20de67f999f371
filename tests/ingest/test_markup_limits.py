"""The structure of a body is limited before it is parsed; long legitimate articles are within the limits."""

import asyncio
import random
from collections.abc import Callable

import orjson
import pytest

from newswire.concurrency.worker_process import WorkerProcess
from newswire_ingest.content.body_sanitiser import sanitise_body
from newswire_ingest.content.markup_limits import (
    MAX_ATTRIBUTES,
    MAX_DEPTH,
    MAX_ELEMENTS,
    MAX_LINKS,
    MAX_MISPLACED,
    MAX_PAGE_TAGS,
    MAX_REFERENCES,
    MAX_TAGS,
    MAX_UNDIVIDED,
    MarkupLimitError,
    check,
)
from newswire_ingest.content.sanitise import sanitise
from newswire_ingest.content.sanitised_body import sanitised_body
from newswire_ingest.content.text_runs import RUN_CHARACTERS
from tests.ingest.conftest import Ingest

SIZE = 900_000
NO_BREAK_SPACE = "\xa0"

FLOODS = {
    "div": "<div>",
    "list": "<ul><li>",
    "definition list": "<dl><dd>",
    "quote": "<blockquote><p>",
    "formatting": "<a><b><i>",
    "span": "<span>",
    "paragraph in button": "<button><p>",
    "table": "<table><tr><td>",
    "svg": "<svg>",
    "math": "<math><mi>",
    "foreign": "<svg><foreignObject><div>",
    "template": "<template>",
    "paragraph": "<p>",
    "item": "<li>",
    "break": "<br>",
    "image": "<img src='https://a.example/b'>",
    "end tag": "</p>",
    "comment": "<!-- x -->",
    "less-than": "<",
    "ampersand": "&",
    "reference": "&amp;",
    "numeric reference": "&#60;",
    "misnested": "<b><div></b>",
    "upper case": "<DIV\n>",
    "unclosed attribute": "<div a='>' b>",
    "html": "<html a>",
}


@pytest.mark.parametrize("flood", FLOODS)
def test_excessive_markup_is_rejected_before_parsing(flood: str) -> None:
    unit = FLOODS[flood]
    with pytest.raises(MarkupLimitError):
        check(unit * (SIZE // len(unit)))


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("<div>" * (MAX_DEPTH + 1), f"{MAX_DEPTH}"),
        ("<br>" * (MAX_ELEMENTS + 1), f"{MAX_ELEMENTS:,}"),
        ("</p>" * (MAX_TAGS + 1), f"{MAX_TAGS:,}"),
        ("& " * (MAX_REFERENCES + 1), f"{MAX_REFERENCES:,}"),
        (f"<p {' '.join(f'a{n}' for n in range(MAX_ATTRIBUTES + 1))}>", f"{MAX_ATTRIBUTES}"),
        ("<table>" + "x<br>" * MAX_MISPLACED, f"{MAX_MISPLACED:,}"),
        ("<table>" + "<tr>x" * (MAX_MISPLACED + 2), f"{MAX_MISPLACED:,}"),
        (f'<img alt="{NO_BREAK_SPACE * (MAX_UNDIVIDED + 1)}">', f"{MAX_UNDIVIDED:,}"),
        (f'<a title="{"&nbsp;" * (MAX_UNDIVIDED + 1)}">x</a>', f"{MAX_UNDIVIDED:,}"),
        (f"<xmp>{NO_BREAK_SPACE * (MAX_UNDIVIDED + 1)}</xmp>", f"{MAX_UNDIVIDED:,}"),
        (f"<plaintext>{NO_BREAK_SPACE * (MAX_UNDIVIDED + 1)}", f"{MAX_UNDIVIDED:,}"),
        ("<a href=/>x</a>" * (MAX_LINKS + 1), f"{MAX_LINKS:,} links"),
        ("<img src=/>" * (MAX_LINKS + 1), f"{MAX_LINKS:,} links"),
        ("<body a>" * (MAX_PAGE_TAGS + 1), f"{MAX_PAGE_TAGS}"),
        ("".join(f"<b a={n}><p>x" for n in range(10_000)), "formatting"),
        ("<p>" + "".join(f"<b a={n}>" for n in range(200)) + "</p>" + "<div><p>x</p></div>" * 1000, "formatting"),
    ],
)
def test_the_limit_is_named(body: str, said: str) -> None:
    with pytest.raises(MarkupLimitError) as refused:
        check(body)
    assert said in refused.value.problem
    assert refused.value.fix


def _prose() -> str:
    words = "the harbour board met again on Tuesday and agreed on nothing but the date of its next meeting".split()
    chosen = random.Random(1)
    paragraph = (
        "<p>"
        + " ".join(chosen.choices(words, k=60))
        + ' &amp; <a href="https://a.example/?b=1&amp;c=2">more</a>.</p>\n'
    )
    return paragraph * (SIZE // len(paragraph))


HONEST: dict[str, Callable[[], str]] = {
    "prose": _prose,
    "one paragraph": lambda: "<p>" + "word " * (SIZE // 5),
    "plain text": lambda: "word & " * (SIZE // 100),
    "table of 2,000 rows": lambda: (
        "<table><thead><tr><th>A</th></tr></thead><tbody>"
        + "".join(f"<tr>{''.join(f'<td>{row * column}</td>' for column in range(10))}</tr>\n" for row in range(2000))
        + "</tbody></table>"
    ),
    "table without end tags": lambda: (
        "<table>" + "".join(f"<tr><td>{row}<td>b<td>c" for row in range(2000)) + "</table>"
    ),
    "listicle": lambda: "".join(
        f'<h2>{n}. A place</h2><figure><img src="https://a.example/{n}.jpg" alt="It"></figure><p>Go <em>there</em>.</p>'
        for n in range(1000)
    ),
    "list without end tags": lambda: "<ul>" + "<li>One thing, and <b>another</b>" * 3000 + "</ul>",
    "paragraphs without end tags": lambda: "<p>A paragraph with <i>style</i>.\n" * 5000,
    "Cyrillic as references": lambda: "<p>" + "&#1087;&#1086;&#1088;&#1090; " * 30_000 + "</p>",
    "French as references": lambda: "<p>" + "l&rsquo;&eacute;t&eacute; &nbsp;" * 20_000 + "</p>",
    "page of an editor": lambda: (
        "<!-- wp:paragraph --><p class='a b' style='c' data-d='e'>Text</p><!-- /wp:paragraph -->" * 2000
    ),
    "no-break spaces in one paragraph": lambda: "<p>" + f"un{NO_BREAK_SPACE}mot " * 90_000 + "</p>",
    "a layout of tables": lambda: "<table>\n<tr>\n<td>\n<p>A</p>\n</td>\n</tr>\n</table>\n" * 3000,
    "a script of no-break spaces": lambda: f"<p>A</p><script>'{NO_BREAK_SPACE * 2000}'</script>",
    "charts": lambda: (
        (
            "<figure><svg viewBox='0 0 1 1'><title>A chart</title>"
            + "<path d='M0 0'/><circle r='1'/>" * 50
            + "</svg></figure>"
        )
        * 100
    ),
    "a script with signs": lambda: "<p>A</p><script>if (a<b && c</d>/) { x = '<div>'.repeat(9) }</script>" * 1000,
    "nested comments of readers": lambda: "<blockquote><p>No.</p>" * 100 + "</blockquote>" * 100,
    "a word processor's spans": lambda: "<p><span><span><font><b><i>Text</i></b></font></span></span></p>" * 2000,
}


@pytest.mark.parametrize("kind", HONEST)
def test_long_legitimate_articles_are_accepted(kind: str) -> None:
    body = HONEST[kind]()
    assert sanitised_body(body, None).html


def test_character_references_are_decoded_to_the_same() -> None:
    references = "&eacute;&#1087;&#x1F600;&amp;&lt;&#60;&quot;&#10;&nbsp;&unknown;&copy&#128;&#0;&NotEqualTilde;"
    few = f'<p title="{references}">{references}</p>'
    many = few + "<p>" + "&eacute;" * (MAX_REFERENCES + 1) + "</p>"
    assert sanitised_body(few, None).html == sanitised_body(many, None).html.removesuffix(
        f"<p>{'é' * (MAX_REFERENCES + 1)}</p>"
    )


WORDS = "one & two &amp;three&lt;four\xa0five &eacute;t&eacute;\n" * 1000
IN_CONTEXT = {
    "text": "{}",
    "paragraph": "<p>a</p>{}<p>b",
    "preformatted": "<pre>\n{}</pre>",
    "table": "<table>{}<tr><td>a {}</table>",
    "select": "<p>a<select><option>{}</select>b",
    "script": "<script>{}</script>a",
    "script in a comment of a script": "<script><!--<script>{}</script>{}--></script>a",
    "text-only": "<textarea>{}</textarea><noembed>1 &amp; 2</noembed>a",
    "drawing": "<svg><title>a<b>{}</title></svg>{}",
    "comment": "<!-- {} -->a",
    "attribute": "<img alt='1 & 2'>{}",
    "frames": "<frameset>{}",
    "less-than signs": "a < b {} < c {}",
    "open formatting": "<b>{}<p>{}</b>{}",
}


@pytest.mark.parametrize("context", IN_CONTEXT)
def test_a_long_text_means_the_same_after_the_check(context: str) -> None:
    sent = IN_CONTEXT[context].replace("{}", WORDS)
    assert sanitise(check(sent)) == sanitise(sent)


@pytest.mark.parametrize("sign", ["& ", "&amp;", NO_BREAK_SPACE])
def test_long_runs_of_ampersands_and_no_break_spaces_are_divided(sign: str) -> None:
    sent = sign * MAX_REFERENCES + "word " * 100_000
    runs = check(sent).split("<!---->")
    assert max(len(run) for run in runs[:-1]) <= RUN_CHARACTERS + len(sign)
    assert runs[-1].count(sign) <= RUN_CHARACTERS
    assert "".join(runs) == sent


def test_a_long_plain_text_is_unchanged() -> None:
    sent = "word " * 100_000
    assert check(sent) == sent


@pytest.mark.parametrize("flood", ["div", "paragraph", "ampersand", "misnested"])
async def test_excessive_markup_gets_the_limit_and_the_fix(
    ingest: Ingest, publisher: dict[str, str], flood: str
) -> None:
    body = FLOODS[flood] * (SIZE // len(FLOODS[flood]))
    answer = await ingest.http.post("/v1/articles", json={"title": "T", "body": body}, headers=publisher)
    assert answer.status_code == 422
    (error,) = answer.json()["errors"]
    assert error["field"] == "body"
    assert any(sign.isdigit() for sign in error["problem"])
    assert await ingest.events() == []


async def test_a_batch_rejects_only_the_line_over_a_limit(ingest: Ingest, publisher: dict[str, str]) -> None:
    lines = [
        '{"title":"T","body":"<p>A</p>"}',
        '{"title":"T","body":"%s"}' % ("<div>" * 1000),
        '{"title":"U","body":"B"}',
    ]
    answer = await ingest.http.post(
        "/v1/articles/batch", content="\n".join(lines), headers={**publisher, "Content-Type": "application/x-ndjson"}
    )
    assert [orjson.loads(line)["status"] for line in answer.text.splitlines()] == [201, 422, 201]


async def test_a_body_over_the_cpu_limit_is_rejected_and_the_next_is_accepted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The CPU limit ends whatever the check does not detect."""
    worker = WorkerProcess("tests.ingest.unchecked:answer", 0.5, 2**30)
    monkeypatch.setattr("newswire_ingest.content.body_sanitiser._worker", lambda: worker)
    deep = "<div>" * 60_000
    with pytest.raises(MarkupLimitError, match="processor time"):
        await sanitise_body(deep, None)
    assert (await sanitise_body("<p>A</p>" * 1000, None)).text.startswith("A\n\nA")
    worker.close()


async def test_many_concurrent_large_bodies_are_sanitised() -> None:
    bodies = [f"<p>{n}</p><script>x</script>" + "<p>more</p>" * 300 for n in range(20)]
    made = await asyncio.gather(*(sanitise_body(body, None) for body in bodies))
    assert [body.text.split("\n")[0] for body in made] == [str(n) for n in range(20)]
    assert all("script" not in body.html for body in made)
