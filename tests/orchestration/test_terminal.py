"""Guest output is shown as text: without codes, and without anything hidden in it."""

import pytest

from orchestration.terminal import plain, plain_lines


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        ("\x1b[1;31mred\x1b[0m", "red"),
        ("\x1b]0;title\x07text", "text"),
        ("\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\", "link"),
        ("\x1b[?25lhidden", "hidden"),
        ("\x1b(Bplain", "plain"),
        ("1%\r2%\r", "2%"),
    ],
)
def test_terminal_codes_are_left_out(raw: str, shown: str):
    assert plain(raw) == shown


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        ("bell\x07 nul\x00 delete\x7f", "bell␇ nul␀ delete␡"),
        ("unfinished \x1b[", "unfinished ␛["),
        ("csi\x9b31m", "csi<U+009B>31m"),
        ("user\u202ecod.exe", "user<U+202E>cod.exe"),
        ("iso\u2066late\u2069", "iso<U+2066>late<U+2069>"),
        ("pass\u200bword\ufeff", "pass<U+200B>word<U+FEFF>"),
        ("two\u2028lines", "two<U+2028>lines"),
        ("tag\U000e0041", "tag<U+E0041>"),
        ("not utf-8: \ufffd\ufffd", "not utf-8: \ufffd\ufffd"),
    ],
)
def test_invisible_characters_are_shown(raw: str, shown: str):
    assert plain(raw) == shown


@pytest.mark.parametrize("text", ["tab\tstays", "naïve 中文 עברית 👍🏽 e\u0301", ""])
def test_text_stays_as_it_is(text: str):
    assert plain(text) == text


def test_lines_stay_lines():
    assert plain_lines("\x1b[1mone\x1b[0m\n50%\r100%\n\u202ethree") == (
        "one\n100%\n<U+202E>three"
    )
