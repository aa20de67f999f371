"""Keys that users create in a browser."""

from datetime import UTC, datetime, timedelta

from ulid import ULID

from newswire.auth.form_keys import is_key_label, token_of


def test_a_form_gives_one_token_to_its_session_for_a_day() -> None:
    made = datetime(2026, 11, 27, tzinfo=UTC)
    form, later = str(ULID.from_datetime(made)).lower(), made + timedelta(hours=23)
    assert token_of("nws_a", form, now=made) == token_of("nws_a", form, now=later) is not None
    assert token_of("nws_b", form, now=later) != token_of("nws_a", form, now=later)
    assert token_of("nws_a", form, now=made + timedelta(hours=25)) is None
    assert token_of("nws_a", form, now=made - timedelta(hours=1)) is None
    assert token_of("nws_a", "../../etc/passwd") is None


def test_labels_are_short_and_without_control_characters() -> None:
    assert [is_key_label(each) for each in ("", "CMS", "x" * 200, "x" * 201, "a\nb")] == [
        True,
        True,
        True,
        False,
        False,
    ]
