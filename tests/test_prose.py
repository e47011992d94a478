"""Docstrings and tests name the thing they speak of: see CONTRIBUTING.md, "Words"."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[1]
RIDDLE = r"(?:What|Who|Whom|Whose|Whoever|Whatever|Nobody|Somebody)"
SOURCES = [
    path
    for package in ("orchestration", "testbed")
    for path in sorted((CHECKOUT / package).rglob("*.py"))
    if "migrations" not in path.parts
]
TESTS = sorted((CHECKOUT / "tests").rglob("*.py"))
# Classes whose docstrings are descriptions in the language's JSON schema.
REFERENCE = CHECKOUT / "orchestration/compose/language"
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


def name_of(path: Path) -> str:
    """Return the path below the checkout, which names the path's case."""
    return str(path.relative_to(CHECKOUT))


@pytest.mark.parametrize("path", SOURCES + TESTS, ids=name_of)
def test_docstring_begins_with_its_subject(path: Path) -> None:
    riddles = [text for text in docstrings(path) if re.match(rf"{RIDDLE}\b", text)]

    assert riddles == []


@pytest.mark.parametrize("path", TESTS, ids=name_of)
def test_name_of_a_test_begins_with_its_subject(path: Path) -> None:
    riddles = re.findall(rf"def (test_{RIDDLE}_\w+)", path.read_text(), re.IGNORECASE)

    assert riddles == []


def docstrings(path: Path) -> Iterator[str]:
    """Yield the docstrings of a module, its functions and, mostly, its classes."""
    kinds: tuple[type[ast.AST], ...] = (ast.Module, *FUNCTIONS, ast.ClassDef)
    if REFERENCE in path.parents:
        kinds = kinds[:-1]
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, kinds) and (text := ast.get_docstring(node)):
            yield text
