"""Two hosts with folders of images, and a testbed with a guest on each.

The command that prunes and the cleanups reach these hosts, too. Images are real files;
a test puts there what it needs.
"""

from pathlib import Path

import pytest
from django.contrib.auth.models import User

from orchestration.plan.model import Command, Options
from orchestration.state.model import State
from testbed import cleanups
from testbed.images.pruning import look_at_images
from testbed.management.commands import prune_images
from testbed.models import Testbed
from tests.orchestration.stores import BASE, GOLDEN, OWN
from tests.testbed.conftest import YAML, Doors
from tests.testbed.images.image_hosts import Machines
from tests.testbed.images.pruning import name_of
from tests.testbed.preparing import prepare


@pytest.fixture
def machines(
    machines: Machines,
    settings: object,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    doors: Doors,
) -> Machines:
    settings.RUNTIME_DIR = tmp_path / "runtime"
    for module in (prune_images, cleanups):
        monkeypatch.setattr(module, "kept_hosts", lambda: machines)
    return machines


@pytest.fixture
def seen(machines: Machines) -> Machines:
    """On host-b an unused image of each kind; on main one that an orphan uses."""
    for name in (GOLDEN, BASE, OWN):
        machines.other.put(name, content=bytes(range(256)) * 4096)
    used = machines.main.put("golden-1111111111111111.qcow2")
    machines.main.layer("web", str(used), testbed="ghost")
    look_at_images(machines)
    return machines


@pytest.fixture
def lab(machines: Machines, owner: User) -> Testbed:
    """A testbed with a guest on each host, and nothing generated."""
    found = Testbed.objects.create(owner=owner, slug="lab", number=7)
    found.project.create()
    found.project.yaml.write_text(YAML)
    return found


@pytest.fixture
def state(lab: Testbed, machines: Machines) -> State:
    """The testbed's state; its image is on both hosts."""
    found = prepare(lab, Command.GENERATE_ARTEFACTS, Options())[0]
    machines.main.put(name_of(found))
    machines.other.linked(name_of(found), "sha256-00")
    return found
