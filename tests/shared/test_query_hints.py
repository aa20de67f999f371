"""Hints on parts of a query that may have been misunderstood."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from newswire.text.query import Nothing, hints, interpreted, parse
from newswire.text.query_hints import MAX_HINTS, MAX_QUOTED


@pytest.mark.parametrize(
    ("q", "code", "said"),
    [
        ("???", "nothing_to_look_for", "type at least one word"),
        ("()", "nothing_to_look_for", "nothing is found"),
        ('"?"', "nothing_to_look_for", "nothing is found"),
        ("title:…", "nothing_to_look_for", "nothing is found"),
        ("-", "nothing_to_look_for", "nothing is found"),
        ("ferry ???", "left_out", "'???'"),
        ('ferry "…"', "left_out", "ignored"),
        ("ferry or boat", "lower_case_operator", "write OR"),
        ("ferry and boat", "lower_case_operator", "all words must be found"),
        ("ferry not boat", "lower_case_operator", "write NOT"),
        ("not boat", "lower_case_operator", "write NOT"),
        ("titel:ferry", "unknown_field", "did you mean 'title:'"),
        ("Autor:lee", "unknown_field", "did you mean 'author:'"),
        ("tags:sea", "unknown_field", "did you mean 'topic:'"),
        ("colour:red", "unknown_field", "fields are title:"),
        ("publisehd:2026", "unknown_field", "did you mean 'published:'"),
        ("published:yesterday", "not_a_date", "published:2026-03-01"),
        ("published:2026-02-30", "not_a_date", "is not a date"),
        ("published:01/03/2026", "not_a_date", "is not a date"),
        ("published:2026-05..2026-01", "reversed_span", "swap"),
        ("title: ferry", "empty_field", "directly after the colon"),
        ('ferry "night boat', "unclosed_quote", "not closed"),
        ("(ferry", "unclosed_parenthesis", "not closed"),
        ("ferry)", "stray_parenthesis", "ignored"),
        ("+ferry", "plus", "not needed"),
        ("fe*ry", "wildcard", "end of a word"),
        ("*ferry", "wildcard", "end of a word"),
        ("f*", "wildcard", "two letters"),
        ("title:ferr*", "wildcard", "outside fields"),
        ("fer?y", "wildcard", "'?'"),
        ("ferry~2", "modifier", "'~2'"),
        ("ferry^3", "modifier", "'^3'"),
        ('"night ferry"~5', "modifier", "'~5'"),
        ("ferry OR", "dangling_operator", "'OR'"),
        ("AND ferry", "dangling_operator", "'AND'"),
        ("ferry NOT", "dangling_operator", "'NOT'"),
        ("ferry OR AND boat", "dangling_operator", "'AND'"),
        ("ferry - boat", "lone_minus", "directly before"),
        ("ferry && boat", "operator", "not needed"),
        ("ferry || boat", "operator", "write OR"),
        ("!boat", "operator", "minus"),
    ],
)
def test_hints(q: str, code: str, said: str) -> None:
    found = {hint.code: hint for hint in hints(q)}
    assert code in found, found
    assert said in found[code].message


@pytest.mark.parametrize(
    "q",
    [
        "",
        "  ",
        "harbour ferry",
        "ferry NOT boat",
        "-ferry boat",
        "ferry OR boat",
        '"to be or not to be"',
        "rock and",
        "title:ferry published:2026",
        "published:2026-03-01T09:00:00Z..2026-03-02T09:00:00+01:00",
        "why?",
        "https://news.example/a",
        "10:30",
        "C++ C# .NET",
        "ferr*",
        "o'brien",
        "🚀",
        "（ferry OR boat）",
        "“night ferry”",
        "1 000 000",
    ],
)
def test_a_query_that_is_understood_has_no_hints(q: str) -> None:
    assert hints(q) == ()


@given(st.text(st.sampled_from('ab? "()-+~^*:!&|ORNTD.…“🚀＂（'), max_size=80))
def test_hints_are_limited_and_explain_empty_results(q: str) -> None:
    found = hints(q)
    assert len(found) <= MAX_HINTS
    assert all(len(hint.at) <= MAX_QUOTED + 1 and len(hint.message) <= 400 for hint in found)
    nothing = any(hint.code == "nothing_to_look_for" for hint in found)
    assert nothing == (parse(q) == Nothing())
    assert parse(q) != Nothing() or interpreted(parse(q)) == '""'


def test_modifiers_do_not_change_the_search() -> None:
    assert parse("ferry~2 boat^3") == parse("ferry boat")
    assert parse('"night ferry"~5') == parse('"night ferry"')
    assert parse("+ferry ++boat") == parse("ferry boat")
