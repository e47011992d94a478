"""A minute of broken YAML: never an exception, and a spec exactly when there is no error.

Real files of the language are torn apart and put together again by a seeded generator,
so that a failure is found again by its number; the short run is in every test run, the
long one with `script/test --all`.
"""

import json
import random
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestration.compose.check import check
from orchestration.compose.language.built import not_built
from orchestration.compose.loader import Loaded
from orchestration.compose.reading.document import read_document
from tests.golden import DATA
from tests.orchestration.compose.fakes import FakeFiles, catalogue_with_test_guest
from tests.orchestration.compose.rules.test_rows import HOSTS

FUZZ_S = 60
SHORT_RUNS = 150
CATALOGUE = catalogue_with_test_guest()
FILES = FakeFiles(files={"good.sh": b"#!/bin/sh\n"}, folders={"folder", "."})
SEEDS = [
    file.read_text()
    for folder in (DATA.parent.parent / "examples", DATA / "testbeds")
    for file in sorted(folder.rglob("*.yaml"))
]
LINES = sorted({line for text in SEEDS for line in text.splitlines() if line.strip()})
VALUES = (
    *("", "~", "no", "{}", "[]", "[[]]", "{a: {b: c}}", "- x", "0", "-1", "1e400"),
    *("99999999999999999999", ".nan", "'", '"', "*a", "&a", "!!str x", "|", ">", "? a"),
    *("<list>", "<map>", "dynamic", "10.0.0.1", "10.0.0.1/33", "10.0.0.0/0", "::/0"),
    *("255.255.255.255", "ff:ff:ff:ff:ff:ff", "fe:ff:ff:ff:ff:ff", "\t", "\u2028", "é"),
    *("{from: 0.0.0.0, to: 255.255.255.255}", "[0, 0, -1, 5000]", "4000", "a" * 5000),
)


def checked(text: str) -> Loaded:
    loaded = check(
        text, files=FILES, catalogue=CATALOGUE, testbed_name="lab", hosts=HOSTS
    )
    assert (loaded.spec is None) == bool(loaded.errors)
    assert list(loaded.findings) == sorted(loaded.findings)
    if loaded.spec is not None:
        not_built(loaded.spec)
    return loaded


def torn(number: int) -> str:
    """Return the broken file of this number."""
    dice = random.Random(number)  # noqa: S311 - found again by its number
    lines = dice.choice(SEEDS).splitlines()
    for _ in range(dice.randint(1, 6)):
        at = dice.randrange(len(lines)) if lines else 0
        how = dice.randrange(7)
        if how == 0:
            del lines[at : at + dice.randint(1, 3)]
        elif how == 1:
            lines.insert(at, dice.choice(LINES))
        elif how == 2 and lines:
            key, colon, _ = lines[at].partition(":")
            lines[at] = f"{key}{colon} {dice.choice(VALUES)}"
        elif how == 3 and lines:
            lines[at] = " " * dice.randint(0, 9) + lines[at].lstrip()
        elif how == 4:
            lines[at:at] = dice.choice(SEEDS).splitlines()[: dice.randint(1, 30)]
        elif how == 5 and lines:
            where = dice.randrange(len(lines[at]) + 1)
            lines[at] = lines[at][:where] + dice.choice(VALUES) + lines[at][where:]
        elif lines:
            lines[at] = lines[at].replace("- ", "").replace("{", "[")
    return "\n".join(lines)


def replaced(value: object, dice: random.Random) -> object:
    """Return the value with some of what is below it replaced by something else."""
    if dice.random() < 0.04:
        return dice.choice([None, True, 0, -1, 2**63, 1.5, "", "x", [], {}, [{}], "~"])
    if isinstance(value, dict):
        return {key: replaced(below, dice) for key, below in value.items()}
    if isinstance(value, list):
        return [replaced(below, dice) for below in value]
    return value


def test_torn_files_give_findings_and_no_exception() -> None:
    for number in range(SHORT_RUNS):
        checked(torn(number))


@pytest.mark.slow
def test_a_minute_of_torn_files_gives_findings_and_no_exception() -> None:
    number, end = SHORT_RUNS, time.monotonic() + FUZZ_S
    while time.monotonic() < end:
        checked(torn(number))
        number += 1


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(SEEDS), st.randoms(use_true_random=False))
def test_values_of_other_kinds_give_findings_and_no_exception(
    text: str, dice: random.Random
) -> None:
    data = read_document(text).data

    checked(json.dumps(replaced(data, dice)))
