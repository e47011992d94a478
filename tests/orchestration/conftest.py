"""Fixtures for the tests of whole runs and of hosts' images.

A rehearsal runs every instruction on simulated hosts in a fresh folder and is closed at
the end; `many_resources` is one instruction on many. Images and layers lie in real
folders, of a host whose libvirt is the test driver.
"""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestration.hosts import Host
from orchestration.plan.model import Instruction, Kind, Resource, Stage
from tests.orchestration.instructions.rehearsal import Rehearsal
from tests.orchestration.many_resources import RESOURCE_COUNT
from tests.orchestration.stores import StoreFolder, opened


@pytest.fixture
def rehearsal(tmp_path: Path) -> Iterator[Rehearsal]:
    """Two guests without scripts: `a` on main, `b` on host-b."""
    rehearsal = Rehearsal(tmp_path)
    yield rehearsal
    rehearsal.hosts.close()


@pytest.fixture
def many_resources() -> Instruction:
    """One instruction with many resources, all on host-a."""
    resources = tuple(
        Resource(f"r{n}", "host-a", f"r{n}") for n in range(RESOURCE_COUNT)
    )
    return Instruction(3, Kind.INIT, Stage.PREPARE, "Begin", resources)


@pytest.fixture
def folder(tmp_path: Path) -> StoreFolder:
    """The folders of a host, in which tests put images and layers."""
    return StoreFolder(tmp_path)


@pytest.fixture
def host(tmp_path: Path, folder: StoreFolder) -> Iterator[Host]:
    """A host whose images and projects are in `folder`."""
    with opened(tmp_path / "libvirt", folder) as host:
        yield host


@pytest.fixture
def full(tmp_path):
    """A file system of 2 MiB; mounted before servers start, so that they see it."""
    folder = tmp_path / "full"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=2m", "none", folder]
    if subprocess.run(mount, check=False).returncode != 0:
        pytest.skip("needs the right to mount a tmpfs")
    yield folder
    subprocess.run(["umount", folder], check=True)
