"""Converting and layering disks on each kind of machine, cancelled in the middle."""

import os
import shutil
import threading
from pathlib import Path

import pytest

from orchestration.errors import Cancelled
from orchestration.providers.images import qemu_img
from orchestration.transport.base import Scope, Transport
from tests.orchestration.transport.conftest import carriers

MIB = 1024 * 1024
pytestmark = pytest.mark.skipif(
    not shutil.which("qemu-img"), reason="qemu-img not installed"
)


def test_cancelled_conversion_leaves_no_half_file_and_no_process(
    machine: Transport, scope: Scope, tmp_path: Path
) -> None:
    source, folder = tmp_path / "source.raw", tmp_path / "to"
    source.write_bytes(os.urandom(8 * MIB))
    folder.mkdir()
    seen: list[int] = []

    def cancel(done: int, total: int) -> None:
        seen.append(done)
        canceller = threading.Thread(target=scope.cancel)
        canceller.start()
        canceller.join()

    with pytest.raises(Cancelled):
        qemu_img.convert(
            machine,
            qemu_img.Layer(str(source), "raw"),
            str(folder / "disk.qcow2"),
            scope=scope,
            on_progress=cancel,
        )

    assert seen
    assert list(folder.iterdir()) == []
    assert [proof.survivors for proof in scope.ended if proof.survivors] == []
    assert carriers(scope.tag) == []
