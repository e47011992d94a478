"""How the tests of qemu-img make overlays, and when they can.

Without qemu-img on the machine they are skipped by `needs_qemu`.
"""

import shutil

import pytest

from orchestration.providers.images import qemu_img

needs_qemu = pytest.mark.skipif(
    not shutil.which("qemu-img"), reason="qemu-img not installed"
)
MIB = 1024**2


def overlay(host, path, base, scope, **options):
    return qemu_img.create_overlay(
        host, str(path), backing=base, backing_format="qcow2", scope=scope, **options
    )
