"""Shared by the tests of golden images: a testbed of clones, and its files.

One clone is on main, the others on host-b; the fixture `scaling` in conftest.py is its
rehearsal. Used by test_golden.py, test_golden_clones.py, test_golden_edits.py and
test_golden_files.py.
"""

from orchestration.compose.language.schema import Spec
from orchestration.providers.libvirt import domains
from orchestration.state.model.images import ImageState
from tests.orchestration.instructions.rehearsal import Rehearsal
from tests.orchestration.state.samples import scaled, spec_of

SCRIPTS = {"shared.sh": "#!/bin/sh\nmake things\n", "own.sh": "#!/bin/sh\n"}
RUNS = "sh -s -- /etc/nocloud/script-run /tmp/testbed-node-shared.sh"
GUEST = "t7-node"


def clones(*bridges: str) -> Spec:
    node = scaled(
        "node",
        *[[bridge] for bridge in bridges],
        shared_setup="shared.sh",
        clone_setup=[{"script": "own.sh", "clones": [1]}],
    )
    return spec_of(node, bridges=("br0", "br1"))


def image_of(rehearsal: Rehearsal) -> ImageState:
    return rehearsal.state.goldens[0].image


def is_made(rehearsal: Rehearsal) -> bool:
    return image_of(rehearsal).path in rehearsal.memory("host-a")["files"]


def leftovers(rehearsal: Rehearsal) -> list[str]:
    """Leftovers that a preparation may not have: its domain and its working files."""
    conn = rehearsal.hosts.open(rehearsal.state.main).libvirt
    guest, image = rehearsal.state.goldens[0].guest, image_of(rehearsal)
    files = rehearsal.memory("host-a")["files"]
    found = [name for name in files if name.startswith((guest.disk, f"{image.path}."))]
    domain = domains.find(conn, rehearsal.domain("node"))
    return found + ([domain.name] if domain else [])
