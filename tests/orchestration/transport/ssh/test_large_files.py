"""A file of a gigabyte goes to a guest and comes back in the memory of a small one."""

import os
import re
from contextlib import closing
from pathlib import Path

import pytest

from orchestration.plan.execution import Conditions
from orchestration.project.packing import Packing
from orchestration.providers.guest.copies.receiving import receive_command, target_of
from orchestration.providers.guest.copies.sending import send_command
from orchestration.providers.guest.copies.unpacking import Unpacker
from orchestration.transport.base import Scope
from tests.orchestration.transport.conftest import Server

pytestmark = pytest.mark.slow
MIB = 1024 * 1024
SIZE_BYTES = 1024 * MIB
TIMEOUT_S = 600.0


def memory_bytes(name: str) -> int:
    """Return a value of this process: VmRSS is what it has, VmHWM its peak."""
    found = re.search(rf"{name}:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found is not None
    return int(found[1]) * 1024


def ignore(count: int) -> None:
    """Take any number of bytes."""


def test_gigabyte_travels_there_and_back_in_bounded_memory(
    server: Server, scope: Scope, tmp_path: Path
) -> None:
    source, back = tmp_path / "source", tmp_path / "back"
    source.write_bytes(os.urandom(MIB))
    os.truncate(source, SIZE_BYTES)
    back.mkdir()
    transport = server.transport()
    Path("/proc/self/clear_refs").write_text("5")  # begin a new peak
    before = memory_bytes("VmRSS")

    transport.run(
        receive_command(
            target_of(str(tmp_path / "there")),
            Conditions(),
            is_folder=False,
            size_bytes=SIZE_BYTES,
        ),
        scope=scope,
        timeout_s=TIMEOUT_S,
        feed=Packing(source).stream(),
    )
    unpacker = Unpacker(back, name="x", spend=ignore, most_entries=1)
    with closing(unpacker):
        transport.run(
            send_command(str(tmp_path / "there"), Conditions()),
            scope=scope,
            timeout_s=TIMEOUT_S,
            on_bytes=unpacker.feed,
        )
        unpacker.finish()

    assert (back / "there").stat().st_size == SIZE_BYTES
    with (back / "there").open("rb") as file, source.open("rb") as sent:
        assert file.read(2 * MIB) == sent.read(2 * MIB)
    assert memory_bytes("VmHWM") - before < 64 * MIB
