"""The whole language, key by key: everything that is accepted is read and means one thing.

`data/testbeds/whole` has a YAML for each way of writing; together they use every key.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestration.cli import as_line
from orchestration.compose.check import check
from orchestration.compose.language.json_schema import language_schema
from orchestration.compose.language.keys import PLACES, place_of
from orchestration.compose.loader import Loaded
from orchestration.compose.reading.document import read_document
from orchestration.compose.reading.positions import Path as Place
from tests.golden import DATA, Golden
from tests.orchestration.compose.fakes import FakeFiles, catalogue_with_test_guest
from tests.orchestration.compose.language.schema_check import misfits
from tests.orchestration.compose.rules.test_rows import HOSTS

WHOLE = sorted((DATA / "testbeds" / "whole").glob("*.yaml"))
EXAMPLES = sorted((DATA.parent.parent / "examples").glob("*/kvm-compose.yaml"))
FILES = FakeFiles(
    files={"good.sh": b"#!/bin/sh\n", "disk.img": b"QFI\xfb", "web.env": b"A=1\n"},
    folders={"folder"},
)


def checked(file: Path) -> Loaded:
    return check(
        file.read_bytes(),
        files=FILES,
        catalogue=catalogue_with_test_guest(),
        testbed_name="lab",
        hosts=HOSTS,
    )


def name_of(file: Path) -> str:
    return file.parent.name if file.stem == "kvm-compose" else file.stem


def keys_of(value: object, at: Place = ()) -> Iterator[tuple[Place, str]]:
    """Return every key of a document with the place that it stands in."""
    if isinstance(value, dict):
        for key, below in value.items():
            yield at, key
            yield from keys_of(below, (*at, key))
    elif isinstance(value, list):
        for index, below in enumerate(value):
            yield from keys_of(below, (*at, index))


@pytest.mark.parametrize("file", WHOLE, ids=name_of)
def test_whole_language_is_read_and_means_what_was_reviewed(
    file: Path, golden: Golden
) -> None:
    loaded = checked(file)

    assert loaded.errors == ()
    text = loaded.require().model_dump_json(indent=1, exclude_none=True, by_alias=True)
    golden(text, DATA / "expected" / f"whole-{file.stem}.spec.json")
    said = "\n".join(as_line(Path(file.name), finding) for finding in loaded.findings)
    assert "Unknown key" not in said
    golden(said, file.with_suffix(".findings.txt"))


def test_every_key_of_the_language_is_among_them() -> None:
    written: dict[str, set[str]] = {}
    for file in WHOLE:
        for at, key in keys_of(read_document(file.read_bytes()).data):
            place = place_of(at)
            if place is not None:
                name = next(name for name, one in PLACES.items() if one is place)
                written.setdefault(name, set()).add(key)

    for name, place in PLACES.items():
        assert place.known - set(place.refused) == written.get(name, set()), name


@pytest.mark.parametrize("file", [*WHOLE, *EXAMPLES], ids=name_of)
def test_editor_accepts_what_is_accepted(file: Path) -> None:
    data = read_document(file.read_bytes()).data

    assert misfits(data, language_schema(), language_schema()) == []


@pytest.mark.parametrize(
    ("part", "instead"),
    [
        ("cpus: 1", "cpus: one"),
        ("cpus: 1", "cpu: 1"),
        ("cpus: 1, ", ""),
        ("{subnet: 10.0.0.0/24}", "{}"),
        ("libvirt:", "docker: {image: nginx}\n    libvirt:"),
        ("cloud_image:", "iso_guest: {path: a}, cloud_image:"),
        ("testbed_options: {}", "testbed_options: []"),
        ("testbed_options: {}", "testbed_options: {load_balancing: Round}"),
        ("tooling:", "tools: {}\ntooling:"),
    ],
)
def test_editor_underlines_what_is_wrong(part: str, instead: str) -> None:
    text = (DATA / "testbeds" / "whole" / "single-switch.yaml").read_text()
    assert part in text
    data = read_document(text.replace(part, instead, 1)).data

    assert misfits(data, language_schema(), language_schema())
