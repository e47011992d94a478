"""ARCHITECTURE.md is short, and names all that `ls` shows of the two packages."""

import re
from collections import Counter
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[1]
PAGE = (CHECKOUT / "ARCHITECTURE.md").read_text(encoding="utf-8")
DECISIONS = (CHECKOUT / "docs" / "decisions.md").read_text(encoding="utf-8")
# Two pages, tables included.
MOST_WORDS = 1150
MOST_MODULES = 14
PACKAGES = ("orchestration", "testbed")


def named_in_table(package: str) -> set[str]:
    """Return the names in backticks of the package's table, folders with a slash."""
    table = PAGE.partition(f"| `{package}/` | holds |")[2].partition("\n\n")[0]
    return set(re.findall(r"`([a-z_]+/?)`", table))


def rooms_of(package: str) -> set[str]:
    """Return the package's own modules, and all its folders with a slash."""
    folder = CHECKOUT / package
    modules = {path.stem for path in folder.glob("*.py") if path.stem[0] != "_"}
    parts = [path.relative_to(folder).parent.parts for path in folder.rglob("*.py")]
    return modules | {f"{part}/" for each in parts for part in each}


@pytest.mark.parametrize("package", PACKAGES)
def test_tables_name_every_module_and_folder(package: str) -> None:
    rooms = rooms_of(package) - {"migrations/"}

    assert named_in_table(package) == rooms


@pytest.mark.parametrize("page", [PAGE, DECISIONS], ids=["architecture", "decisions"])
def test_every_path_is_there(page: str) -> None:
    paths = re.findall(r"`((?:orchestration|testbed|tests|script)/[\w./]*)`", page)

    missing = [path for path in paths if not (CHECKOUT / path).exists()]

    assert len(paths) > 10
    assert missing == []


@pytest.mark.parametrize(
    ("page", "count"),
    [(PAGE, len(PACKAGES)), (DECISIONS, DECISIONS.count("\n## "))],
    ids=["architecture", "decisions"],
)
def test_table_rows_follow_their_head_without_a_gap(page: str, count: int) -> None:
    heads = re.findall(r"^\|.*\|\n\|[-|]+\|\n", page, re.MULTILINE)
    tables = re.findall(r"(?:^\|.*\|\n)+", page, re.MULTILINE)

    assert len(heads) == len(tables) == count


def test_folders_hold_few_modules() -> None:
    counts = Counter(
        str(path.parent.relative_to(CHECKOUT))
        for package in PACKAGES
        for path in (CHECKOUT / package).rglob("[a-z]*.py")
        if path.parent.name != "migrations"
    )

    full = {folder: n for folder, n in counts.items() if n > MOST_MODULES}

    assert counts["testbed/runs"] > 1
    assert full == {}


def test_page_stays_short() -> None:
    assert len(PAGE.split()) <= MOST_WORDS
