"""The words of docs/glossary.md: what it says never to call a thing is nowhere shown.

Shown is the text of the templates with their titles and labels, and every text of two
words or more in the Python code that is no docstring. Persons that no sentence names
(`INDEFINITE`) are in none of them.
"""

import ast
import html
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[2]
GLOSSARY = CHECKOUT / "docs" / "glossary.md"
TEMPLATES = sorted((CHECKOUT / "templates").rglob("*.html"))
MODULES = sorted(
    path
    for package in ("testbed", "orchestration")
    for path in (CHECKOUT / package).rglob("*.py")
    if "migrations" not in path.parts
)
SHOWN_ATTRIBUTES = re.compile(r'\b(?:title|aria-label|alt|placeholder)="([^"]*)"')
HIDDEN = re.compile(r"\{#.*?#\}|\{%.*?%\}|\{\{.*?\}\}|<[^>]*>|&#?\w+;", re.S)
# An en dash: the thing has no wrong name.
NONE = "\N{EN DASH}"
INDEFINITE = ("nobody", "somebody", "whoever", "whosever")
DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
CODE = re.compile(r"`[^`]*`|<code>.*?</code>")


def rows() -> list[list[str]]:
    """Return the cells of the glossary's table."""
    lines = [line for line in GLOSSARY.read_text().splitlines() if line[:2] == "| "]
    return [[cell.strip() for cell in line.strip("| ").split(" | ")] for line in lines]


def forbidden() -> re.Pattern[str]:
    """Return a pattern for any word of the last column; `…` stands for 0 to 2 words."""
    words = [word for *_, never in rows()[1:] for word in never.split(", ")]
    patterns = [re.escape(w) for w in (*words, *INDEFINITE) if w != NONE]
    choice = "|".join(patterns).replace(r"\ …\ ", r"\ (?:\w+\ ){0,2}")
    return re.compile(rf"(?<![\w-])(?:{choice})(?![\w-])", re.IGNORECASE)


FORBIDDEN = forbidden()


def texts_of(source: str) -> Iterator[str]:
    """Yield what a template shows: its text, its titles and its labels."""
    source = re.sub(r"\{[#%].*?[#%]\}", " ", CODE.sub(" ", source), flags=re.S)
    yield from SHOWN_ATTRIBUTES.findall(source)
    yield html.unescape(HIDDEN.sub(" ", source))


def is_prose(text: str) -> bool:
    """Say whether a literal is words, not a program, a pattern or a type."""
    return " " in text.strip() and not re.search(r"[\n\[\]^$\\]", text)


def literals_of(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Yield line and text of every literal of several words, but no docstring."""
    docs = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, DOCUMENTED)
        and node.body
        and isinstance(node.body[0], ast.Expr)
    }
    for node in ast.walk(tree):
        text = node.value if isinstance(node, ast.Constant) else None
        if isinstance(text, str) and id(node) not in docs and is_prose(text):
            yield node.lineno, CODE.sub(" ", text)


def test_table_has_three_cells_in_each_row():
    assert {len(row) for row in rows()} == {3}


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.name)
def test_templates_show_no_word_that_the_glossary_forbids(path: Path):
    shown = " ".join(texts_of(path.read_text(encoding="utf-8")))

    found = FORBIDDEN.findall(re.sub(r"\s+", " ", shown))

    assert not found


def test_python_texts_use_no_word_that_the_glossary_forbids():
    found = [
        f"{path.relative_to(CHECKOUT)}:{line}: {word}"
        for path in MODULES
        for line, text in literals_of(ast.parse(path.read_text(encoding="utf-8")))
        for word in FORBIDDEN.findall(text)
    ]

    assert not found


def test_words_between_two_halves_do_not_hide_them():
    assert FORBIDDEN.findall("Take down. Take it down. Take the testbed down.") == [
        "Take down",
        "Take it down",
        "Take the testbed down",
    ]
