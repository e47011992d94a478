"""Invisible characters that break a script are named with their line."""

import re

import pytest

from orchestration.compose.rules.scripts import script_problems
from tests.orchestration.compose.fakes import FakeFiles


def said(content: bytes) -> list[str]:
    found = script_problems(FakeFiles({"a.sh": content}), "a.sh")
    return [f"{problem.severity}: {problem.message}" for problem in found]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"\xef\xbb\xbf#!/bin/sh\n", "error: .* byte order mark"),
        ("#!/bin/sh\n".encode("utf-16"), "error: .* UTF-16"),
        (b"#!/bin/sh\r\n", "warning: .* Windows line endings, the first in line 1"),
        (b"#!/bin/sh\ntrue\r", "warning: .* Windows line endings, the first in line 2"),
        (b"#!/bin/sh\ntr\rue\n", r"carriage return \(U\+000D\) in line 2, column 3"),
        ("#!/bin/sh\nif\xa0true\n".encode(), r"no-break space .* line 2, column 3"),
        ("#!/bin/sh\nls\u200b\n".encode(), r"zero width space .* line 2, column 3"),
    ],
)
def test_hidden_character_is_named(content: bytes, words: str) -> None:
    (sentence,) = said(content)

    assert re.search(words, sentence)


@pytest.mark.parametrize(
    "content",
    [
        "#!/bin/sh\n# a\xa0remark\ntrue\n".encode(),
        b"#!/bin/sh\nprintf 'a\\r'\n",
        b"#!\0\r\n\xff",
    ],
    ids=["remark", "written out", "program"],
)
def test_file_that_no_shell_reads_is_fine(content: bytes) -> None:
    assert said(content) == []
