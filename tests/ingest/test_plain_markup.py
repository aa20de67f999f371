"""HTML that is recognised as plain is what the parser would make of it: nothing that it would change stays unparsed."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from newswire_ingest.content.plain_markup import MAX_DEPTH, split_plain_markup
from newswire_ingest.content.sanitise import joined_text, plain_text, sanitise, word_count
from newswire_ingest.content.sanitised_body import sanitised_body

NAMES = "p h2 h3 h4 em strong b i code sub sup ul ol li blockquote br"
TEXTS = st.text("ab \n\t\x0b\x0c\x1c\x85\u2028é漢\u200d\ufffe\U0001f600\x01\x7f\"'/;!-", max_size=6)
FOREIGN = "h1 pre table td a div hr svg math script title option P BR".split()
BRACKETED = [f"<{mark}{name}>" for mark in ("", "/") for name in [*NAMES.split(), *FOREIGN]]
ODD = [
    "<",
    ">",
    "&",
    "&amp;",
    "\xa0",
    "\r",
    "\ufeff",
    "<p >",
    "<p/>",
    "<br/>",
    "</br>",
    "<!---->",
    "<p class=x>",
    "< p>",
    "</ p>",
]
SOUP = st.lists(st.one_of(TEXTS, st.sampled_from(BRACKETED), st.sampled_from(ODD)), max_size=12).map("".join)


def elements(inside: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    """Return elements around any content, so also around what they must not contain."""
    return st.tuples(st.sampled_from(NAMES.split()[:-1]), st.lists(inside, max_size=3)).map(
        lambda made: f"<{made[0]}>{''.join(made[1])}</{made[0]}>"
    )


NESTED = st.lists(st.recursive(st.one_of(TEXTS, st.just("<br>")), elements, max_leaves=8), max_size=4).map("".join)


@settings(max_examples=400, deadline=None)
@given(st.one_of(NESTED, SOUP))
def test_what_is_recognised_is_the_same_after_parsing(sent: str) -> None:
    plain = split_plain_markup(sent)
    if plain is not None:
        clean = sanitise(sent)
        assert (sent, joined_text(*plain)) == (clean, plain_text(clean))


@pytest.mark.parametrize(
    "sent",
    [
        "<p>one</p><p>two</p>",
        "a <em>b</em><br>c\n<h2>d <code>e</code></h2>",
        "<blockquote><p>a</p><ul><li>b <b>c</b></li>\n<li><p>d</p><ol><li>e</li></ol></li></ul></blockquote>",
    ],
)
def test_usual_articles_are_recognised(sent: str) -> None:
    assert split_plain_markup(sent) is not None
    assert sanitised_body(sent, None).html == sanitise(sent) == sent


@pytest.mark.parametrize(
    "sent",
    [
        "",
        "no markup, and\nlines of its own",
        "<p>a & b</p>",
        "<p>a = b</p>",
        "<p>a\xa0b</p>",
        "\ufeff<p>a</p>",
        "<p>a\rb</p>",
        "<p>a > b</p>",
        "<p>a",
        "<p>a</p></p>",
        "</p>",
        "<p>a<p>b</p></p>",
        "<p><ul><li>a</li></ul></p>",
        "<li>a</li>",
        "<em>a<p>b</p></em>",
        "<b>a<i>b</b>c</i>",
        "<h2>a<h3>b</h3></h2>",
        "<P>a</P>",
        "<pre>\na</pre>",
        "<a>a</a>",
        "<p title=''>a</p>",
        "<script>a</script>",
        "<blockquote>" * (MAX_DEPTH + 1) + "</blockquote>" * (MAX_DEPTH + 1),
    ],
)
def test_everything_else_is_parsed(sent: str) -> None:
    assert split_plain_markup(sent) is None


def test_lines_of_text_without_markup_are_kept() -> None:
    assert sanitised_body("one\ntwo", None).text == "one\ntwo"


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(TEXTS, st.sampled_from(["p", "h2", "blockquote"])), max_size=6), TEXTS)
def test_the_text_of_blocks_is_one_line_for_each_with_single_spaces(blocks: list[tuple[str, str]], rest: str) -> None:
    texts = [part for text, _ in blocks for part in (rest, text)] + [rest]
    tags = [tag for _, name in blocks for tag in (name, f"/{name}")]
    lines = [" ".join(text.split()) for text in texts]
    text = joined_text(texts, tags)
    assert text == "\n\n".join(line for line in lines if line)
    assert word_count(text) == len(text.split())
