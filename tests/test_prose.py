"""Docstrings, tests and documents name their subject: see CONTRIBUTING.md, "Words"."""

import ast
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from tests.testbed.test_glossary import INDEFINITE

CHECKOUT = Path(__file__).resolve().parents[1]
RIDDLE = r"(?:What|Who|Whom|Whose|Whoever|Whatever|Nobody|Somebody)"
SOURCES = [
    path
    for package in ("orchestration", "testbed")
    for path in sorted((CHECKOUT / package).rglob("*.py"))
    if "migrations" not in path.parts
]
TESTS = sorted((CHECKOUT / "tests").rglob("*.py"))
DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
DOCUMENTS = [
    path
    for pattern in ("*.md", "docs/*.md", "examples/*/README.md")
    for path in sorted(CHECKOUT.glob(pattern))
]
BLOCK = re.compile(r"^ *```.*?^ *```$", re.DOTALL | re.MULTILINE)
CODE = re.compile(r"(?<!`)(`+)(?!`).+?(?<!`)\1(?!`)", re.DOTALL)
# Heads of the columns in which tables show words that are not to be used.
WRONG = ("not", "never called")


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


@pytest.mark.parametrize("path", DOCUMENTS, ids=name_of)
def test_document_names_its_subjects(path: Path) -> None:
    persons = rf"(?i:{'|'.join(INDEFINITE)})"

    riddles = re.findall(rf"\b(?:{RIDDLE}|{persons})\b.*", prose(path.read_text()))

    assert riddles == []


def test_prose_has_neither_code_nor_columns_of_wrong_words() -> None:
    table = "| not | but |\n|---|---|\n| What is | It is |\n"

    words = prose(
        f"```\nWho\n```\nA `nobody`, ``What `is` ``.\n{table}\nWhat | follows"
    )

    assert "".join(words.split()) == "A,.but---ItisWhat|follows"


def prose(document: str) -> str:
    """Return the text of a document without code and without columns of wrong words."""
    return "\n".join(shown(CODE.sub("", BLOCK.sub("", document)).splitlines()))


def shown(lines: Iterable[str]) -> Iterator[str]:
    """Yield the lines, and of tables each cell that is not in a column of wrong words."""
    head: list[str] = []
    for line in lines:
        if not line.startswith("|"):
            head = []
            yield line
            continue
        row = line.removeprefix("|").removesuffix("|")
        cells = [cell.strip() for cell in row.split("|")]
        head = head or cells
        named = zip(head, cells, strict=True)
        yield from (cell for title, cell in named if title not in WRONG)


def docstrings(path: Path) -> Iterator[str]:
    """Yield the docstrings of a module, its functions and its classes."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, DOCUMENTED) and (text := ast.get_docstring(node)):
            yield text
