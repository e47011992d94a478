"""Other images in a YAML, and nothing else of it changed."""

from pathlib import Path

import pytest

from orchestration.compose.loader import load_spec
from orchestration.compose.rewriting import with_images
from orchestration.errors import SpecError, StateError

LIVE = Path(__file__).resolve().parents[2] / "data" / "live"
YAML = """\
# The web and its database.
machines:
  - name: web   # the first
    interfaces: [{bridge: lan}]
    libvirt: {cpus: 1, memory_mb: 128, libvirt_type: {cloud_image: {expand_gigabytes: 4, name: "debian_12"}}}
  - name: db
    interfaces: [{bridge: lan}]
    libvirt:
      cpus: 1
      memory_mb: 128
      libvirt_type:
        cloud_image:
          name: debian_12  # not yet 13
          setup_script: setup.sh
network:
  bridges: [{name: lan}]
"""


def test_images_are_exchanged_and_all_else_stays() -> None:
    found = with_images(YAML, {"web": "c-web", "db": "c-db"})

    assert found == YAML.replace(
        'expand_gigabytes: 4, name: "debian_12"', "expand_gigabytes: 0, name: c-web"
    ).replace("name: debian_12  #", "name: c-db  #")


def test_other_machines_stay() -> None:
    found = with_images(YAML, {"db": "c-db"})

    assert found == YAML.replace("name: debian_12  #", "name: c-db  #")


@pytest.mark.parametrize("name", ["line", "pair"])
def test_live_examples_are_rewritten(name: str) -> None:
    text = (LIVE / name / "kvm-compose.yaml").read_text()

    found = with_images(text, {"near": "a-near", "away": "a-away"})

    machines = load_spec(found).require().machines
    assert [one.kind.libvirt_type.name for one in machines] == ["a-near", "a-away"]


@pytest.mark.parametrize("line_end", ["\r\n", "\n"])
def test_line_ends_stay(line_end: str) -> None:
    text = YAML.replace("\n", line_end)

    found = with_images(text, {"db": "c-db"})

    assert found == text.replace("name: debian_12  #", "name: c-db  #")


def test_shared_part_of_two_machines_is_refused() -> None:
    text = YAML.replace("{cloud_image: {exp", "&disk {cloud_image: {exp")
    start = text.index("        cloud_image:\n")
    text = text[:start].rstrip() + " *disk\n" + text[text.index("network:") :]
    assert load_spec(text).spec

    with pytest.raises(StateError, match="cannot be changed to name other images"):
        with_images(text, {"web": "c-web", "db": "c-db"})


def test_clones_and_own_disks_are_refused_by_name() -> None:
    disk = "existing_disk: {path: disks/own.qcow2}"
    own = YAML.replace('cloud_image: {expand_gigabytes: 4, name: "debian_12"}', disk)
    cloned = (LIVE.parent / "testbeds" / "spread-clones.yaml").read_text()
    machines = load_spec(cloned).require().machines
    name = next(one.name for one in machines if one.scaling)

    with pytest.raises(StateError, match="The disk of web cannot be copied: it has no"):
        with_images(own, {"web": "c-web"})
    with pytest.raises(StateError, match="is cloned, and each clone has"):
        with_images(cloned, {name: "c-clones"})


def test_broken_yaml_is_refused_with_its_errors() -> None:
    with pytest.raises(SpecError):
        with_images(YAML.replace("cpus: 1", "cpus: none"), {"web": "c-web"})
