"""Inputs that public reports of similar systems describe, and what is said of each."""

import unicodedata
from pathlib import Path

from orchestration.compose.check import check
from orchestration.compose.files import FolderFiles, resolve_inside
from orchestration.compose.loader import Loaded
from tests.golden import DATA
from tests.orchestration.compose.fakes import catalogue_with_test_guest

CASES = DATA / "cases"


def checked(folder: Path, text: str = "") -> Loaded:
    return check(
        text or (folder / "kvm-compose.yaml").read_bytes(),
        files=FolderFiles(folder),
        catalogue=catalogue_with_test_guest(),
        testbed_name="lab",
    )


def said(loaded: Loaded) -> list[str]:
    return [f"{f.line}:{f.severity}: {f.message}" for f in loaded.findings]


def test_indentation_with_no_break_spaces_is_named() -> None:
    loaded = checked(CASES / "invisible-characters")

    assert said(loaded) == [
        "13:error: The line is indented with a no-break space (U+00A0)."
    ]


def test_hidden_characters_of_scripts_are_named() -> None:
    folder = CASES / "invisible-characters"
    text = (folder / "kvm-compose.yaml").read_text().replace("\xa0", " ")

    loaded = checked(folder, text)

    first, second = said(loaded)
    assert first.startswith("8:error: The script `setup.sh` begins with a byte order")
    assert second.startswith("8:warning: The script `run.sh` has Windows line endings")
    assert "in line 2" in second


def test_name_of_another_form_is_the_same_file(tmp_path: Path) -> None:
    text = """\
machines:
  - name: web
    libvirt:
      cpus: 1
      memory_mb: 512
      libvirt_type:
        cloud_image: {name: test_guest, setup_script: "é/sétup.sh", context: "é"}
"""
    (tmp_path / "e\N{COMBINING ACUTE ACCENT}").mkdir()
    decomposed = unicodedata.normalize("NFD", "é/sétup.sh")
    (tmp_path / decomposed).write_text("#!/bin/sh\n")

    loaded = checked(tmp_path, text)

    assert said(loaded) == []
    found = resolve_inside(tmp_path, "é/sétup.sh")
    assert found == tmp_path / decomposed


def test_bridges_at_the_top_are_read_like_network() -> None:
    loaded = checked(CASES / "ancestor-top-level-network")

    network = loaded.require().network
    assert said(loaded) == []
    assert [(bridge.name, bridge.protocol) for bridge in network.bridges] == [
        ("br0", "OpenFlow13")
    ]
    assert network.external_bridge == "br0"


def test_machine_without_network_is_on_no_switch() -> None:
    loaded = checked(CASES / "ancestor-no-network")

    (machine,) = loaded.require().machines
    assert machine.interfaces == ()
    assert said(loaded) == [
        "2:warning: Machine island has no `network`: it is on no switch."
    ]
