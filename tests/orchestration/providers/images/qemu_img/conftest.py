"""This machine as a host, and a base for overlays, for the tests of qemu-img.

The base is made by the real qemu-img: tests that ask for it need that tool.
"""

import pytest

from orchestration.transport.base import Scope, command
from orchestration.transport.local import LocalTransport
from tests.tags import OWN_TAG


@pytest.fixture
def scope():
    return Scope(OWN_TAG)


@pytest.fixture
def host():
    return LocalTransport("host-a")


@pytest.fixture
def base(tmp_path, host, scope):
    path = str(tmp_path / "base.qcow2")
    host.run(command("qemu-img", "create", "-f", "qcow2", path, "8M"), scope=scope)
    return path
