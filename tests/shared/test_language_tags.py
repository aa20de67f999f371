"""Valid language tags, and suggestions for invalid ones."""

import pytest
from pydantic import TypeAdapter, ValidationError

from newswire.validation.fields import LanguageTag
from newswire.validation.language_tags import probable_tag

TAG: TypeAdapter[str] = TypeAdapter(LanguageTag)


@pytest.mark.parametrize(
    "tag",
    """en EN en-GB pt-BR zh-Hant zh-Hant-TW sr-Latn-RS es-419 de-1996 de-CH-1996 sl-rozaj-biske ca-valencia
    zh-yue zh-cmn-Hans-CN en-a-bbb-b-ccc en-x-twain de-x-a-a fil haw yue gsw nds und mul zxx mis qaa""".split(),
)
def test_a_tag_is_kept_as_it_was_sent(tag: str) -> None:
    assert TAG.validate_python(tag) == tag


@pytest.mark.parametrize(
    ("tag", "meant"),
    [
        # The codes of ISO 639-2, which MARC, NITF and television use.
        ("eng", "en"), ("ENG", "en"), ("eng-US", "en-US"), ("deu", "de"), ("ger", "de"), ("fra", "fr"), ("fre", "fr"),
        ("zho", "zh"), ("chi", "zh"), ("zho-Hant", "zh-Hant"), ("ces", "cs"), ("cze", "cs"), ("nob", "nb"), ("nld-BE", "nl-BE"),
        # Names, locales and countries.
        ("English", "en"), ("en_US", "en-US"), ("eng_US", "en-US"), ("jp", "ja"), (" en ", "en"), ("en\n", "en"),
        # Texts that are not tags, or more than one.
        ("", None), ("e", None), ("en-", "en"), ("-en", None), ("en--US", None), ("en-USA", None), ("en-U", None),
        ("en-12", None), ("xx", None), ("qq-DE", None), ("engl", None), ("root", None), ("C", None), ("en.UTF-8", None),
        ("de-DE@euro", None), ("en,de", None), ("en;q=0.5", None), ("*", None), ("-", None), ("e\u00f1", None), ("ｅn", None),
        ("en\u200b", None), ("e n", None), ("en-US-US", None), ("de-1996-1996", None), ("en-a-bb-a-cc", None),
        ("zh-yue-cmn", None), ("x-private", None), ("i-klingon", None), ("a" * 36, None), ("en-" + "a-" * 5000, None),
    ],
)  # fmt: skip
def test_invalid_tags_are_rejected_with_a_suggestion(tag: str, meant: str | None) -> None:
    with pytest.raises(ValidationError) as refused:
        TAG.validate_python(tag)
    assert (probable_tag(tag[:35]) or None) == meant
    if meant is not None:
        assert f"'{meant}'" in refused.value.errors()[0]["ctx"]["fix"]
        assert TAG.validate_python(meant) == meant
