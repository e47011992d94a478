"""Things on hosts are divided among the testbeds and written once."""

import pytest
from django.utils import timezone

from orchestration.inventory.things import Inventory, Thing, ThingKind
from testbed import models
from testbed.hosts.inventory import Shares, save_inventories

MINE = Thing(ThingKind.BRIDGE, "t1-x", "mine")
OTHERS = Thing(ThingKind.BRIDGE, "t2-x", "others")
NOBODYS = Thing(ThingKind.LINK, "t3vn", "")
PLUGS = {"t1g0i0": "t1-x"}


def test_each_testbed_gets_its_own_things_of_each_host_and_nobodys() -> None:
    shares = Shares(
        {
            "a": Inventory((MINE, OTHERS, NOBODYS), plugs=PLUGS),
            "b": Inventory((OTHERS,)),
        }
    )

    mine = shares.of("mine")

    assert mine["a"].things == (MINE, NOBODYS)
    assert mine["a"].plugs == PLUGS
    # A host that answered and holds nothing says that all of it is gone.
    assert mine["b"].things == ()
    assert shares.of("unknown")["a"].things == (NOBODYS,)


@pytest.mark.usefixtures("hosts")
def test_inventory_is_written_anew_only_when_it_changed() -> None:
    host, seen = models.Host.objects.get(name="main"), Inventory((MINE,))
    first, second = timezone.now(), timezone.now()
    save_inventories([(host, seen)], first)
    before = models.Inventory.objects.get()

    save_inventories([(host, seen)], second)
    same = models.Inventory.objects.get()
    save_inventories([(host, Inventory((MINE, OTHERS)))], second)

    assert (same.pk, same.things, same.looked_at) == (before.pk, before.things, second)
    assert [t["name"] for t in models.Inventory.objects.get().things] == [
        "t1-x",
        "t2-x",
    ]


@pytest.mark.usefixtures("hosts")
def test_sizes_of_disks_are_saved_by_testbed() -> None:
    host, now = models.Host.objects.get(name="main"), timezone.now()
    files = {
        ("lab", "web-disk.qcow2"): 4096,
        ("lab", "web-seed.iso"): 512,
        ("far", "db-disk.qcow2"): 8192,
    }
    save_inventories([(host, Inventory((MINE,), files=files))], now)
    saved = models.Inventory.objects.get().disks

    save_inventories([(host, Inventory((MINE,)))], now)

    assert saved == {"lab": {"web-disk.qcow2": 4096}, "far": {"db-disk.qcow2": 8192}}
    assert models.Inventory.objects.get().disks is None
