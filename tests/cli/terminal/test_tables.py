"""Text from clients cannot control the terminal that displays it."""

import pytest

from newswire_cli.terminal.console import say
from newswire_cli.terminal.tables import print_table

ORDERS = "\x1b]0;owned\x07\x1b[2J\x9b31m\u202eferries\r"


def test_tables_escape_control_characters(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(["kind", "value"], [["topic", f"{ORDERS}\tand\nmore"], ["topic", "Việt Nam 中文"]])
    shown = capsys.readouterr().out
    assert shown.splitlines()[1].split("\t")[1].endswith("\\u202eferries\\u000d and more")
    assert "Việt Nam 中文" in shown
    assert not set(shown) & set("\x1b\x07\x9b\u202e\r")


def test_lines_escape_control_characters(capsys: pytest.CaptureFixture[str]) -> None:
    say(f"{ORDERS}\n\tkept")
    assert capsys.readouterr().out == "\\u001b]0;owned\\u0007\\u001b[2J\\u009b31m\\u202eferries\\u000d\n\tkept\n"
