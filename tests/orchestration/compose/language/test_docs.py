"""The reference for users says what the code does."""

import re

import pytest

from orchestration.compose.check import check
from orchestration.compose.language.built import NOT_BUILT_KINDS
from orchestration.compose.language.keys import PLACES
from orchestration.compose.language.schema import Spec
from tests.golden import DATA, Golden
from tests.orchestration.compose.fakes import FakeFiles, catalogue_with_test_guest
from tests.orchestration.compose.language.reference import TABLE, with_tables


def plain(sentence: str) -> str:
    """Return a sentence without its particular names and numbers."""
    return re.sub(r"[0-9][0-9.]*", "#", re.sub(r"`[^`]*`", "`x`", sentence))


REFERENCE = DATA.parents[1] / "docs" / "yaml.md"
# Every finding of every bad file, in words that do not depend on its names and numbers.
FOUND = [
    plain(line)
    for file in sorted((DATA / "testbeds").rglob("*.findings.txt"))
    for line in file.read_text().splitlines()
]
EXAMPLES = re.findall(r"```yaml\n(.*?)```", REFERENCE.read_text(), re.DOTALL)


@pytest.mark.parametrize("text", EXAMPLES, ids=["bridges", "switches"])
def test_example_of_the_reference_has_no_finding(text: str) -> None:
    files = FakeFiles(
        files={"scripts/setup.sh": b"#!/bin/sh\n", "scripts/run.sh": b"#!/bin/sh\n"},
        folders={"files"},
    )

    loaded = check(text, files=files, catalogue=catalogue_with_test_guest())

    assert loaded.findings == ()
    assert isinstance(loaded.spec, Spec)


def test_tables_of_the_reference_are_those_of_the_models(golden: Golden) -> None:
    golden(with_tables(REFERENCE.read_text()), REFERENCE)


def test_every_model_has_its_table() -> None:
    shown = {match["place"] for match in TABLE.finditer(REFERENCE.read_text())}

    models = {PLACES["" if place == "top" else place].model for place in shown}

    inside = {"AddressRange", "MacRange", "IpType", "Tooling", "MachineAvd"}
    missing = {place.model.__name__ for place in PLACES.values()} - {
        model.__name__ for model in models
    }
    assert missing <= inside | {"PlainScaling"}


def test_every_key_and_image_is_in_the_reference() -> None:
    words = set(re.findall(r"`([a-z0-9_]+)[:`]", REFERENCE.read_text()))

    for name, place in PLACES.items():
        assert set(place.known) - words <= {"path"}, name
    assert set(catalogue_with_test_guest()) <= words


def test_every_mistake_of_the_reference_is_found_in_those_words() -> None:
    rows = re.findall(
        r"^\|[^|]*\| (error|warning): (.*?) *\|$", REFERENCE.read_text(), re.M
    )
    assert len(rows) > 50

    for severity, shown in rows:
        quoted = re.fullmatch(r"(`+) ?(.*?) ?\1", shown)
        said = plain(quoted[2] if quoted else shown).split("\N{HORIZONTAL ELLIPSIS}")
        pattern = ".*".join(re.escape(part.strip()) for part in said)
        here = re.compile(f" {severity} .*{pattern}")
        assert any(here.search(line) for line in FOUND), shown


def test_reference_names_exactly_what_is_not_built_yet() -> None:
    (paragraph,) = re.findall(
        r"Not everything that can be written.*?\n\n", REFERENCE.read_text(), re.DOTALL
    )
    named = set(re.findall(r"`([a-z_]+)`", paragraph))

    built = {"existing_disk", "iso_guest", "password"}
    assert named & {"docker", "android", *built} == set(NOT_BUILT_KINDS.values())
