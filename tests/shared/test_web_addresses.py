"""Which web addresses are valid: those that every program parses alike, and that contain no secrets."""

import pytest
from pydantic import TypeAdapter, ValidationError

from newswire.validation.fields import Url
from newswire.validation.web_addresses import MAX_URL_LENGTH

ADDRESS: TypeAdapter[str] = TypeAdapter(Url)
BASE = "https://courier.example/"

ACCEPTED = [
    BASE,
    "http://courier.example",
    "HTTPS://Courier.Example/",
    "https://courier.example./",
    "https://courier.example:8443/a",
    "https://courier.example?id=5",
    "https://courier.example/a#part",
    "https://courier.example/@author?mail=a@b.example",
    "https://courier.example/it's(here),now;really!",
    "https://courier.example/%0D%0Aencoded",
    "https://under_score.example/",
    "https://localhost/",
    "https://192.0.2.1/",
    "https://[2001:db8::1]:8443/",
    "https://münchen.example/straße",
    "https://mu\u0308nchen.example/",
    "https://пример.рф/",
    "https://例え.テスト/",
    "https://xn--mnchen-3ya.example/",
    BASE + "x" * (MAX_URL_LENGTH - len(BASE)),
]

REFUSED = {
    "control character": [
        BASE + "\r\nX-Injected: yes",
        BASE + "\n",
        "\n" + BASE,
        BASE + "\r",
        BASE + "\t",
        BASE + "\x0b",
        BASE + "\x7f",
        BASE + "\x85",
        "https://cour\nier.example/",
    ],
    "LINE SEPARATOR": [BASE + "\u2028"],
    "NUL": [BASE + "\x00"],
    "SPACE": [" " + BASE, BASE + " ", BASE + "a b", BASE + "\u3000"],
    "RIGHT-TO-LEFT OVERRIDE": [BASE + "\u202emoc.live", "https://\u202ecourier.example/"],
    "ZERO WIDTH SPACE": ["https://cour\u200bier.example/"],
    "SOFT HYPHEN": ["https://cour\u00adier.example/"],
    "REVERSE SOLIDUS": ["https:\\\\courier.example", "https://courier.example\\@other.example/"],
    "LESS-THAN SIGN": [BASE + "<script>"],
    "QUOTATION MARK": [BASE + '"onload='],
    "contains a user name or a password": [
        "https://user:secret@courier.example/",
        "https://user@courier.example/",
        "https://@courier.example/",
        "https://:@courier.example/",
        "https://courier.example:443@other.example/",
        "https://us%40er@courier.example/",
    ],
    "is not an absolute http or https address": [
        "",
        "courier.example",
        "/relative",
        "//courier.example/",
        "https://",
        "https:///courier.example",
        "https:/courier.example",
        "https:courier.example",
        "https://?q=1",
        "https://#part",
        "ftp://courier.example/",
        "javascript:alert(1)",
        "data:text/html,x",
        "https://courier.example:99999/",
        "https://courier.example:80x/",
        "https://courier.example:８０/",
        "https://[::1/",
        "https://[v1.x]/",
        "https://[fe80::1%25eth0]/",
        "https://xn--/",
        "https://courier.example%40other.example/",
        "https://192.0.2.256/",
    ],
    "names port 0": ["https://courier.example:0/"],
    "does not have a valid host": [
        "https://./",
        "https://../",
        "https://.courier.example/",
        "https://courier..example/",
        "https://*.courier.example/",
        "https://courier,other.example/",
        "https://courier!.example/",
        "https://a&b/",
        "https://%63ourier.example/",
        f"https://{'a' * 64}.example/",
        f"https://{'a.' * 130}example/",
        f"https://{'ü' * 60}.example/",
    ],
    "in characters that browsers replace": [
        "https://ｃourier.example/",
        "https://courier。example/",
        "https://courier．example/",
        "https://courier｡example/",
        "https://ⓒourier.example/",
        "https://①②⑦.0.0.1/",
    ],
    "an IP address in an unusual way": [
        "https://0x7f.1/",
        "https://2130706433/",
        "https://192.0.2/",
        "https://0300.0.2.1/",
    ],
    "at most 2000 characters": [BASE + "x" * (MAX_URL_LENGTH - len(BASE) + 1)],
}


@pytest.mark.parametrize("address", ACCEPTED)
def test_a_web_address_is_kept_unchanged(address: str) -> None:
    assert ADDRESS.validate_python(address) == address


@pytest.mark.parametrize(("reason", "address"), [(reason, each) for reason, found in REFUSED.items() for each in found])
def test_other_addresses_are_rejected_with_the_reason(reason: str, address: str) -> None:
    with pytest.raises(ValidationError) as refused:
        ADDRESS.validate_python(address)
    [error] = refused.value.errors()
    assert reason in error["msg"]


def test_the_reason_never_contains_the_password() -> None:
    with pytest.raises(ValidationError) as refused:
        ADDRESS.validate_python("https://user:secret@courier.example/")
    assert "secret" not in refused.value.errors(include_input=False)[0]["msg"]
