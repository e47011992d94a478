"""A testbed that was lost from the database: adopted from its folder, or deleted.

One testbed on both hosts; its row is deleted as an old copy of the database would
lack it. Guests that are adopted run on; what is deleted is gone to the last port.
"""

from collections.abc import Iterator

import pytest

from tests.live.client import Client
from tests.live.stack import Stack
from tests.live.watch import (
    DATA,
    Guest,
    condition,
    holdings,
    key_of,
    project,
    ran,
    wait_until,
)

pytestmark = pytest.mark.live
SLUG = "straying"


@pytest.fixture(scope="module", name="before")
def _before(stack: Stack) -> dict[str, set[str]]:
    return holdings(stack)


@pytest.fixture(scope="module", name="admin")
def _admin(stack: Stack) -> Iterator[Client]:
    stack.add_user("admin", is_admin=True)
    client = stack.client("admin")
    yield client
    client.close()


def name_of(stack: Stack, thing: str) -> str:
    """Return libvirt's name of a guest or network."""
    return f"t{project(stack, SLUG).read_state().number}-{thing}"


def lose(stack: Stack, admin: Client) -> str:
    """Delete the row only, wait until its things are listed as orphans; return the key."""
    key = key_of(stack, SLUG)
    things = [name_of(stack, thing) for thing in ("near", "away", "nat")]
    model = "from testbed.models import Testbed as T"
    stack.shell(f"{model}; T.objects.get(name={SLUG!r}).delete()")
    wait_until(
        lambda: all(
            f"<code>{t}</code>" in admin.pages.read("/orphans/") for t in things
        ),
        "the orphans are not listed",
    )
    return key


def test_lost_testbed_is_adopted_and_its_guests_run_on(stack, owner, admin, before):
    owner.create_testbed(SLUG, DATA / "pair")
    assert ran(owner, SLUG, "up").status == "succeeded"
    guests = [Guest(stack, SLUG, name) for name in ("near", "away")]
    boots = [guest.boot for guest in guests]
    key = lose(stack, admin)
    assert not owner.has_testbed(SLUG)

    admin.pages.send("/orphans/adopt/", {"name": key, "owner": "owner"})
    owner.server.send("PATCH", owner.path(key), {"name": SLUG})

    assert owner.has_testbed(SLUG)
    near = name_of(stack, "near")
    assert f"<code>{near}</code>" not in admin.pages.read("/orphans/")
    up = ran(owner, SLUG, "up")
    assert up.status == "succeeded", up.words
    assert {r["status"] for r in up.of("start-guests").values()} == {"unchanged"}
    assert [guest.boot for guest in guests] == boots
    wait_until(lambda: condition(stack, SLUG) == "up", "it is not seen to be up")


SWEEP = """
from orchestration.inventory.stale_files import old_artefacts, remove_artefacts, stale_among
from orchestration.transport.base import Scope
from testbed.models import Host
from testbed.images.pruning import Images
from testbed.images.needs import KnownStates
from testbed.worker import kept_hosts
hosts = kept_hosts()
host = hosts.open(Host.objects.get(name="host-b").to_state())
old = old_artefacts(host, scope=Scope())
remove_artefacts(host, stale_among(old, KnownStates().read().idle_guests), scope=Scope())
images = Images(hosts)
for found in images.observe(["host-b"]):
    images.prune(found, lambda _, verdict: verdict.image.name.startswith("own-"))
"""


def test_files_that_nothing_refers_to_go_from_a_remote_host(stack, before):
    folder = f"/var/lib/testbed/projects/{key_of(stack, SLUG)}/artefacts"
    images = "/var/lib/testbed/images"
    unused, layered = "own-0123456789abcdef.img", "own-fedcba9876543210.img"
    stack.other.run("sh", "-c", f"truncate -s 1M {images}/{unused} {images}/{layered}")
    layer = f"{folder}/x-disk.qcow2"
    base = f"{images}/{layered}"
    words = ("qemu-img", "create", "-q", "-f", "qcow2", "-F", "raw", "-b", base, layer)
    stack.other.run(*words)
    stack.other.run("touch", f"{folder}/gone-seed.iso")
    there = set(stack.other.run("ls", folder, images).split())
    old = f"touch -d '3 days ago' {folder}/*-seed.iso {images}/own-*"
    stack.other.run("sh", "-c", old)

    stack.shell(SWEEP)

    left = set(stack.other.run("ls", folder, images).split())
    stack.other.run("rm", "-f", layer, base)
    assert there - left == {"gone-seed.iso", unused}
    assert {"away-seed.iso", layered} <= left


def test_admin_looks_at_the_images_and_deletes_an_unused_one(stack, admin, before):
    images, unused = "/var/lib/testbed/images", "golden-0123456789abcdef.qcow2"
    stack.other.run("truncate", "-s", "1M", f"{images}/{unused}")
    admin.pages.send("/images/look/", {})
    wait_until(lambda: "data-poll" not in admin.pages.read("/images/"), "nobody looks")
    shown = admin.pages.read("/images/")
    assert f'href="/testbeds/owner/{SLUG}/"' in shown
    assert f'value="host-b:{unused}"' in shown

    deletion = admin.pages.send("/images/delete/", {"pick": f"host-b:{unused}"})

    wait_until(lambda: "data-poll" not in admin.pages.read(deletion), "it does not end")
    assert "All of it is gone." in admin.pages.read(deletion)
    assert unused not in stack.other.run("ls", images)


def test_deleted_orphans_leave_nothing_on_any_host(stack, admin, before):
    near = name_of(stack, "near")
    key = lose(stack, admin)

    asked = {"name": key, "confirm": key}
    deletion = admin.pages.send("/orphans/delete/", asked)

    wait_until(lambda: "data-poll" not in admin.pages.read(deletion), "it does not end")
    assert "All of it is gone." in admin.pages.read(deletion)
    assert holdings(stack) == before
    assert not (stack.data / "testbeds" / key).exists()
    projects = "/var/lib/testbed/projects"
    assert key not in stack.other.run("ls", projects).split()
    wait_until(
        lambda: f"<code>{near}</code>" not in admin.pages.read("/orphans/"),
        "they are still listed",
    )
