"""The reference for users says what the code does."""

import re
from pathlib import Path

from orchestration.spec.checks import check
from orchestration.spec.language import PLACES
from orchestration.spec.schema import Spec
from tests.orchestration.spec.fakes import FakeFiles, catalogue_with_test_guest

REFERENCE = Path(__file__).parents[3] / "docs" / "yaml.md"


def test_complete_example_of_the_reference_has_no_finding() -> None:
    (text,) = re.findall(r"```yaml\n(.*?)```", REFERENCE.read_text(), re.DOTALL)
    files = FakeFiles(
        files={"scripts/setup.sh": b"#!/bin/sh\n", "scripts/run.sh": b"#!/bin/sh\n"},
        folders={"files"},
    )

    loaded = check(text, files=files, catalogue=catalogue_with_test_guest())

    assert loaded.findings == ()
    assert isinstance(loaded.spec, Spec)


def test_every_key_and_image_is_in_the_reference() -> None:
    reference = REFERENCE.read_text()
    words = set(re.findall(r"`([a-z0-9_]+)[:`]", reference))

    for name, place in PLACES.items():
        missing = {*place.keys, *place.later, *place.ignored} - words
        assert missing <= {"switch", "network_name", "is_clone_of", "path"}, name
    assert set(catalogue_with_test_guest()) <= words
