"""Which texts are e-mail addresses."""

import pytest

from newswire.validation.email_addresses import InvalidAddressError, check_address


@pytest.mark.parametrize(
    ("sent", "normal"),
    [
        ("reader@example.org", "reader@example.org"),
        ("  reader@EXAMPLE.org ", "reader@example.org"),
        ("\u200breader@example.org\u2069\u00a0\ufeff", "reader@example.org"),
        ("first.last+news@sub.example.org", "first.last+news@sub.example.org"),
        ("o'hara@example.org", "o'hara@example.org"),
        ("leser@bücher.example", "leser@xn--bcher-kva.example"),
        ("reader@例え.jp", "reader@xn--r8jz45g.jp"),
    ],
)
def test_addresses_are_taken_with_their_domain_in_ascii(sent: str, normal: str) -> None:
    assert check_address(sent) == normal


@pytest.mark.parametrize(
    "sent",
    [
        "",
        "   ",
        "reader",
        "@example.org",
        "reader@",
        "reader@example",
        "a@b@example.org",
        "reader@example..org",
        ".reader@example.org",
        "reader.@example.org",
        '"quoted name"@example.org',
        "reader@[127.0.0.1]",
        "reader@localhost",
        "reader@-example.org",
        "reader@example.org, other@example.org",
        "reader@example.org\r\nBcc: other@example.org",
        "reader@example.org\x00",
        "reader\u202e@example.org",
        "leser\u00e4@example.org",
        "Reader <reader@example.org>",
        "x" * 65 + "@example.org",
        "reader@" + "x" * 64 + ".org",
        "reader@" + ".".join(["x" * 60] * 5) + ".org",
        "r" * 100_000 + "@example.org",
    ],
)
def test_what_is_no_address_is_refused_with_a_reason(sent: str) -> None:
    with pytest.raises(InvalidAddressError) as refused:
        check_address(sent)
    assert str(refused.value)
