"""Lines of printable ASCII take a short way through validation, and come out as the long way makes them."""

import re

from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from newswire.validation.characters import has_visible_text, headline_violation, label_violation
from newswire.validation.fields import Headline, Label, Name

LINES = {
    "headline": (TypeAdapter(Headline), headline_violation, 300),
    "label": (TypeAdapter(Label), label_violation, 100),
    "name": (TypeAdapter(Name), label_violation, 200),
}


@settings(deadline=None)
@given(st.sampled_from(sorted(LINES)), st.text(" ab~!\t\n\x00\x1f\x7f\x85\xa0é\u200b", max_size=8), st.integers(0, 310))
def test_a_line_is_the_same_with_and_without_other_characters(kind: str, text: str, length: int) -> None:
    adapter, violation, limit = LINES[kind]
    sent = text + "x" * length
    expected = re.sub("[\t\n \xa0]+", " ", sent).strip()
    valid = "\x00" not in sent and len(expected) <= limit and not violation(expected) and has_visible_text(expected)
    try:
        line = adapter.validate_python(sent)
    except ValidationError:
        assert not valid
    else:
        assert valid
        assert line == expected
