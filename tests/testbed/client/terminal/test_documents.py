"""The lines of `testbed` that the documents show are ones that the program reads."""

import re
import shlex
from pathlib import Path

import click
import pytest

from testbed.client.terminal.program import run

CHECKOUT = Path(__file__).resolve().parents[4]
PAGES = [CHECKOUT / "README.md", *sorted((CHECKOUT / "docs").glob("*.md"))]
LINE = re.compile(r"^\$ testbed (.+)$", re.MULTILINE)
LINES = [
    pytest.param(line, id=f"{page.stem}: {line}")
    for page in PAGES
    for line in LINE.findall(page.read_text(encoding="utf-8"))
]
# The shell's, behind the words of one program.
ENDS = ("|", ">", "&&", ";")


@pytest.mark.parametrize("line", LINES)
def test_line_of_a_document_is_read(line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(click.Context, "invoke", lambda *words, **options: 0)
    words = shlex.split(line, comments=True)
    end = min((words.index(sign) for sign in ENDS if sign in words), default=None)

    assert run(words[:end]) == 0
