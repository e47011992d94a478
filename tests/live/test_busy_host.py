"""More guests than a host may boot at once: the rest waits its turn, and says why."""

import os
import re
from pathlib import Path

import pytest

from tests.live.client import Client
from tests.live.stack import Stack
from tests.live.watch import ran

pytestmark = [pytest.mark.live, pytest.mark.slow]
AT_ONCE = max(8, 2 * (os.cpu_count() or 1))
GUEST = """\
  - name: g{n}
    interfaces: [{{bridge: br0}}]
    libvirt:
      cpus: 1
      memory_mb: 128
      libvirt_type:
        cloud_image: {{name: test_guest}}
"""
NETWORK = "network:\n  bridges: [{name: br0}]\n  external_bridge: br0\n"


def test_guests_beyond_the_window_wait_and_come_up(
    stack: Stack, owner: Client, tmp_path: Path
) -> None:
    count = AT_ONCE + 3
    guests = "".join(GUEST.format(n=n) for n in range(count))
    (tmp_path / "kvm-compose.yaml").write_text(f"machines:\n{guests}{NETWORK}")
    owner.create_testbed("busy", tmp_path)

    up = ran(owner, "busy", "up")
    down = ran(owner, "busy", "down")

    assert up.status == "succeeded", up.words
    assert up.statuses()["start-guests"] == {"done"}
    waits = re.findall(r"main is busy: .*, (\d+) guests are booting; waiting", up.log)
    assert waits, up.log
    assert all(int(booting) <= AT_ONCE + count // 2 for booting in waits)
    assert down.status == "succeeded", down.words
