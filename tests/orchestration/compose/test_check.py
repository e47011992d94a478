"""Every bad input of data/testbeds/bad has its findings beside it, line by line."""

from pathlib import Path

import pytest

from orchestration.cli import as_line
from orchestration.compose.check import check
from orchestration.compose.loader import Loaded
from orchestration.compose.names import suggest_name
from orchestration.errors import Severity, SpecError
from tests.golden import DATA, Golden
from tests.orchestration.compose.fakes import FakeFiles, catalogue_with_test_guest

BAD = sorted((DATA / "testbeds" / "bad").glob("*.yaml"))
ONLY_WARNINGS = {"nothing", "unknown-keys"}
MACHINE = """
machines:
  - name: {name}
    libvirt:
      cpus: 1
      memory_mb: 128
      libvirt_type: {{cloud_image: {{name: test_guest}}}}
"""


def bad_files() -> FakeFiles:
    return FakeFiles(
        files={
            "empty.sh": b"",
            "no-shebang.sh": b"echo hello\n",
            "windows.sh": b"#!/bin/sh\r\necho\r\n",
            "large.sh": b"#!/bin/sh\n",
            "good.sh": b"#!/bin/sh\necho\n",
        },
        folders={"folder", "large", "link-out"},
        sizes={"large": 65 * 1024 * 1024, "large.sh": 2 * 1024 * 1024},
        outside={"link-out"},
    )


def checked(text: str | bytes, testbed_name: str = "lab") -> Loaded:
    return check(
        text,
        files=bad_files(),
        catalogue=catalogue_with_test_guest(),
        testbed_name=testbed_name,
    )


@pytest.mark.parametrize("file", BAD, ids=lambda file: file.stem)
def test_bad_file_gets_its_findings(file: Path, golden: Golden) -> None:
    loaded = checked(file.read_bytes())

    lines = [as_line(Path(file.name), finding) for finding in loaded.findings]
    golden("\n".join(lines), file.with_suffix(".findings.txt"))
    assert lines
    assert (loaded.spec is not None) == (file.stem in ONLY_WARNINGS)


def test_findings_are_sorted_by_line() -> None:
    for file in BAD:
        lines = [finding.line for finding in checked(file.read_bytes()).findings]

        assert lines == sorted(lines)


def test_unusable_yaml_raises_spec_error_with_all_findings() -> None:
    loaded = checked("machines: 3\nnetwork: 4\n")

    with pytest.raises(SpecError, match="has 2 errors") as caught:
        loaded.require()

    assert caught.value.findings == loaded.findings


def test_warnings_do_not_forbid_the_spec() -> None:
    loaded = checked(MACHINE.format(name="web") + "colour: blue\n")

    assert [f.severity for f in loaded.findings] == [Severity.WARNING]
    assert loaded.require().machines[0].name == "web"


@pytest.mark.parametrize(("testbed", "errors"), [("t" * 59, 0), ("t" * 60, 1)])
def test_host_name_longer_than_63_is_an_error(testbed: str, errors: int) -> None:
    loaded = checked(MACHINE.format(name="web"), testbed_name=testbed)

    assert len(loaded.errors) == errors


@pytest.mark.parametrize(("name", "errors"), [("a" * 40, 0), ("a" * 41, 1)])
def test_machine_name_longer_than_40_is_an_error(name: str, errors: int) -> None:
    assert len(checked(MACHINE.format(name=name)).errors) == errors


@pytest.mark.parametrize(
    ("name", "better"),
    [
        ("Web Server!", "web-server"),
        ("--a__b--", "a-b"),
        ("x" * 50, "x" * 40),
        ("a" * 39 + "-b", "a" * 39),
        ("Größe", "gr-e"),
        ("!!!", ""),
    ],
)
def test_suggested_name_is_close_and_valid(name: str, better: str) -> None:
    assert suggest_name(name) == better


def test_same_text_gives_same_findings_twice() -> None:
    text = (DATA / "testbeds" / "bad" / "values.yaml").read_bytes()

    assert checked(text).findings == checked(text).findings
