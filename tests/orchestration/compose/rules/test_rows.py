"""One YAML per rule: each says in its first line how it must end.

`# fine`, `# warning` or `# error` is the outcome that our decisions give; the exact
findings are in rows.findings.txt, for review.
"""

from pathlib import Path

import pytest

from orchestration.cli import as_line
from orchestration.compose.check import check
from orchestration.compose.loader import Loaded
from orchestration.state.model import HostState
from tests.golden import DATA, Golden
from tests.orchestration.compose.fakes import FakeFiles, catalogue_with_test_guest

ROWS = sorted((DATA / "testbeds" / "rows").glob("*.yaml"))
HOSTS = (
    HostState(name="main", is_main=True, cpus=4, memory_mib=8192),
    HostState(name="host2", cpus=8, memory_mib=4096),
)
FILES = {
    "good.sh": b"#!/bin/sh\n",
    "disk.img": b"QFI\xfb",
    "disk.img.xz": b"\xfd7zXZ\0",
    "page.qcow2": b"<!DOCTYPE html><title>404</title>",
    "disk.zip": b"PK\x03\x04",
    "blank.img": bytes(512),
}


def checked(file: Path) -> Loaded:
    return check(
        file.read_bytes(),
        files=FakeFiles(files=FILES, folders={"folder"}),
        catalogue=catalogue_with_test_guest(),
        testbed_name="lab",
        hosts=HOSTS,
        network_cards=("eth1",),
    )


@pytest.mark.parametrize("file", ROWS, ids=lambda file: file.stem)
def test_row_ends_as_its_first_line_says(file: Path) -> None:
    outcome = file.read_text().splitlines()[0].removeprefix("# ")

    loaded = checked(file)

    assert {f.severity for f in loaded.findings} == {outcome} - {"fine"}
    assert (loaded.spec is None) == (outcome == "error")


def test_findings_of_all_rows_are_as_reviewed(golden: Golden) -> None:
    lines = [
        as_line(Path(file.name), finding)
        for file in ROWS
        for finding in checked(file).findings
    ]

    golden("\n".join(lines), DATA / "testbeds" / "rows" / "rows.findings.txt")


def test_without_hosts_nothing_is_said_about_them() -> None:
    for name in ("memory-that-no-host-has", "chassis-unknown", "host-not-main"):
        file = DATA / "testbeds" / "rows" / f"{name}.yaml"

        loaded = check(
            file.read_bytes(),
            files=FakeFiles(),
            catalogue=catalogue_with_test_guest(),
        )

        assert loaded.findings == ()
