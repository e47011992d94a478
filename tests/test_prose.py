"""Docstrings name the thing that they speak of: see CONTRIBUTING.md, "Words"."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[1]
RIDDLE = re.compile(r"(What|Who|Whom|Whose|Whoever|Whatever|Nobody|Somebody)\b")
SOURCES = [
    path
    for package in ("orchestration", "testbed")
    for path in sorted((CHECKOUT / package).rglob("*.py"))
    if "migrations" not in path.parts
]
# Classes whose docstrings are descriptions in the language's JSON schema.
REFERENCE = CHECKOUT / "orchestration/compose/language"


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(CHECKOUT)))
def test_docstring_begins_with_its_subject(path: Path) -> None:
    riddles = [text for text in docstrings(path) if RIDDLE.match(text)]

    assert riddles == []


def docstrings(path: Path) -> Iterator[str]:
    """Yield the docstrings of a module, its functions and, mostly, its classes."""
    kinds: tuple[type[ast.AST], ...] = (ast.Module, ast.FunctionDef, ast.ClassDef)
    if REFERENCE in path.parents:
        kinds = kinds[:2]
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, kinds) and (text := ast.get_docstring(node)):
            yield text
