"""Testbeds whose guests are clones, with scripts and a context of their own files.

They are planned like any other; what is special is that a golden image is made from
what the files say.
"""

import pytest

from tests.testbed.testbeds.planning.edits import edit

SCALED = """\
machines:
  - name: node
    libvirt:
      cpus: 1
      memory_mb: 256
      libvirt_type:
        cloud_image: {name: ubuntu_22_04, context: shared.sh}
      scaling:
        count: 2
        shared_setup: shared.sh
        interfaces: [{bridge: lan, clones: [0, 1]}]
        clone_setup: [{script: own.sh, clones: [1]}]
network:
  bridges: [{name: lan}]
  external_bridge: lan
"""


@pytest.fixture(name="scaled")
def _scaled(testbed):
    testbed.project.yaml.write_text(SCALED)
    for name in ("shared.sh", "own.sh"):
        (testbed.project.files / name).write_text("one\n")
    return testbed


@pytest.fixture(name="with_context")
def _with_context(scaled):
    edit(scaled, "context: shared.sh", "context: ctx")
    (scaled.project.files / "ctx").mkdir()
    (scaled.project.files / "ctx/data").write_text("one\n")
    return scaled
