"""Invisible characters of a YAML are named with their place, unless quoted."""

import pytest

from orchestration.compose.loader import load_spec
from orchestration.errors import Severity

YAML = """\
machines:
  - name: web
    docker:
      image: nginx
      environment:
        GREETING: hello world
      user: www
network:
  bridges: []
"""


def found(text: str | bytes) -> list[tuple[int, int, str]]:
    return [(f.line, f.column, f.severity) for f in load_spec(text).findings]


@pytest.mark.parametrize(
    ("visible", "hidden", "place"),
    [
        ("    docker", "\xa0   docker", (3, 1)),
        ("      user", "   \u3000  user", (7, 4)),
        ("  bridges", "\u200b  bridges", (9, 1)),
        ("image: nginx", "image: \xa0nginx", (4, 14)),
        ("image: nginx", "image:\xa0nginx", (4, 13)),
        ("name: web", "name: web\u200b", (2, 14)),
        ("image:", "ima\xadge:", (4, 10)),
        ("name: web", "name: web\rnetwork: x", (2, 14)),
        ("name: web", "name: web # a\u2028    b: c", (2, 18)),
        ("name: web", "name: web\x85b: c", (2, 14)),
    ],
)
def test_hidden_character_that_changes_the_meaning_is_an_error(
    visible: str, hidden: str, place: tuple[int, int]
) -> None:
    findings = load_spec(YAML.replace(visible, hidden)).findings

    first = findings[0]
    assert (first.line, first.column, first.severity) == (*place, Severity.ERROR)
    code = next(char for char in hidden if char not in visible and char not in " #abcx")
    assert f"U+{ord(code):04X}" in first.message
    assert [f for f in findings if f.severity is Severity.ERROR] == [first]


def test_hidden_character_inside_of_a_value_is_a_warning() -> None:
    loaded = load_spec(YAML.replace("hello world", "hello\xa0world"))

    (finding,) = loaded.findings
    assert (finding.line, finding.severity) == (6, Severity.WARNING)
    assert loaded.spec is not None


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("hello world", '"hello\xa0world"'),
        ("name: web", "name: web # a\xa0remark"),
        ("\n", "\r\n"),
        ("\n", "\r"),
        ("machines", "\ufeffmachines"),
        ("machines", "\ufeff\ufeffmachines"),
    ],
    ids=["quoted", "remark", "Windows", "old Mac", "mark", "two marks"],
)
def test_hidden_character_that_changes_nothing_is_fine(before: str, after: str) -> None:
    assert found(YAML.replace(before, after)) == []


def test_many_hidden_characters_in_one_line_cost_little() -> None:
    loaded = load_spec("machines: [" + "\xa0a," * 90_000 + "]")

    assert loaded.errors[0].line == 1
