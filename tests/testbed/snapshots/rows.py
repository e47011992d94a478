"""Rows of snapshots as a look would leave them."""

from django.utils import timezone
from pydantic import TypeAdapter

from orchestration.providers.libvirt.snapshots.text import Label, Snapshot
from testbed.models import LabSnapshot, ObservedSnapshots, Testbed

ADAPTER = TypeAdapter(tuple[Snapshot, ...])
TAKEN = 1_790_000_000
MIB = 1024**2


def taken(name: str, **changes: object) -> Snapshot:
    """Return a snapshot with memory, taken by olive."""
    values = {
        "name": name,
        "description": "",
        "label": Label("olive"),
        "parent": "",
        "status": "running",
        "has_memory": True,
        "is_external": False,
        "created_at": TAKEN,
        "memory_bytes": 97 * MIB,
    }
    return Snapshot(**values | changes)


def put(
    testbed: Testbed,
    guest: str,
    *found: Snapshot,
    host: str = "main",
    disk_bytes: int = 350 * MIB,
) -> ObservedSnapshots:
    """Write the rows of a guest's snapshots."""
    row, _ = testbed.observed_snapshots.update_or_create(
        name=guest,
        defaults={
            "host": host,
            "signature": "",
            "snapshots": ADAPTER.dump_python(found, mode="json"),
            "disk_bytes": disk_bytes,
            "read_at": timezone.now(),
            "observed_at": timezone.now(),
        },
    )
    LabSnapshot.objects.replace(row, found)
    return row


def keys(*names: str) -> list[str]:
    """Return the keys of the rows of these snapshots."""
    return [str(LabSnapshot.objects.get(title=name).pk) for name in names]
