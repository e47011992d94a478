"""The second host of the shared stack is another distribution than main may be.

All tests that use the stack then show that both generations of libvirt, QEMU, OpenSSH
and Open vSwitch work together. This one says that they did.
"""

import pytest

from tests.live.namespace_host import debian_13
from tests.live.stack import Stack

pytestmark = pytest.mark.live


def test_second_host_is_a_debian_13(stack: Stack) -> None:
    if debian_13() is None:
        pytest.skip("the root of Debian 13 is not built: script/lab/debian-root")

    release = stack.other.run("cat", "/etc/os-release")

    assert "VERSION_CODENAME=trixie" in release.splitlines()
