"""Hosts, orphans, images of hosts and all snapshots, as lab admins' programs keep them."""

import pytest
from django.contrib.auth.models import User
from django.utils import timezone

from testbed.models import (
    Cleanup,
    Entry,
    Host,
    ImageStore,
    Inventory,
    LabSnapshot,
    NewHost,
    SnapshotOrder,
    Testbed,
)
from tests.testbed.api.conftest import ALL, Ask, asker
from tests.testbed.conftest import Doors, Reserved
from tests.testbed.hosts.test_contact import KEY, LINE
from tests.testbed.snapshots.rows import put, taken
from tests.testbed.views.test_orphans import thing

NEW = {"name": "host-c", "address": "192.0.2.7", "identity_file": "/etc/key"}


@pytest.fixture
def boss(admin: User, testbed: Testbed, doors: Doors) -> Ask:
    """A lab admin with a token of all scopes."""
    return asker(admin, *ALL)


@pytest.fixture
def ghost(testbed: Testbed) -> None:
    """Orphans of a testbed `ghost` on both hosts."""
    for host in Host.objects.all():
        things = [thing("domain", "ghost-web", label="web", is_active=False)]
        Inventory.objects.create(host=host, things=things, looked_at=timezone.now())


def test_host_is_begun_confirmed_added_and_given_up(boss: Ask):
    begun = boss("POST", "/new-hosts", NEW)
    place = begun.headers["Location"]
    again = boss("POST", f"{place}/check", {})
    NewHost.objects.update(status="idle", seen_key=LINE)

    wrong = boss("POST", f"{place}/confirm", {"fingerprint": "SHA256:other"})
    pinned = boss("POST", f"{place}/confirm", {"fingerprint": KEY.fingerprint})
    NewHost.objects.update(status="idle")
    added = boss("POST", f"{place}/add")
    gone = boss("DELETE", place)

    assert (begun.status_code, begun.json()["status"]) == (202, "pending")
    assert begun.json()["requirements"][0]["outcome"] == ""
    assert (again.status_code, wrong.status_code) == (409, 422)
    assert pinned.json()["confirmed"] is True
    assert (added.status_code, gone.status_code) == (202, 204)
    assert boss("GET", "/new-hosts").json() == {"items": []}
    whats = [entry.what for entry in Entry.objects.filter(act="hosts")]
    assert whats[0] == "gave up adding it"
    assert whats[-1] == "began to add it at 192.0.2.7"


@pytest.mark.parametrize(
    ("changes", "where"),
    [
        ({"name": "main"}, "body.name"),
        ({"name": "a b"}, "body.name"),
        ({"address": "192.0.2.2"}, "body.address"),  # host-b is there
        ({"address": "127.0.0.1"}, "body.address"),
        ({"address": "-oProxyCommand=x"}, "body.address"),
        ({"address": ""}, "body.address"),
        ({"user": "root; reboot"}, "body.user"),
        ({"images_dir": "/var/../etc"}, "body.images_dir"),
    ],
)
def test_host_that_cannot_be_begun_is_refused_at_its_value(
    boss: Ask, changes: dict[str, object], where: str
):
    answer = boss("POST", "/new-hosts", NEW | changes)

    assert answer.status_code == 422
    assert where in [error["where"] for error in answer.json()["errors"]]
    assert not answer.json()["detail"].startswith("body.")
    assert not NewHost.objects.exists()


def test_settings_are_changed_as_they_were_read(boss: Ask):
    place = "/hosts/main/settings"
    read = boss("GET", place)
    tag = read.headers["ETag"]

    without = boss("PATCH", place, {"port": 2222})
    first = boss("PATCH", place, {"vcpu_overcommit": 2.5}, If_Match=tag)
    stale = boss("PATCH", place, {"vcpu_overcommit": 3}, If_Match=tag)
    odd = boss("PATCH", place, {"vcpu_overcommit": 3}, If_Match='"x"')
    wrong = boss("PATCH", place, {"images_dir": "relative"}, If_Match="*")

    assert [one.status_code for one in (without, first)] == [428, 200]
    assert first.json()["vcpu_overcommit"] == 2.5
    assert first.headers["ETag"] != tag
    assert [one.status_code for one in (stale, odd, wrong)] == [412, 412, 422]
    assert Host.objects.get(name="main").vcpu_overcommit == 2.5


def test_host_is_drained_once_and_its_holders_are_told(
    boss: Ask, member: User, reserved: Reserved
):
    reserved(member, "host-b")
    place = "/hosts/host-b/drain"

    done = boss("PUT", place, {"reason": "new\ndisks"})
    again = boss("PUT", place, {})
    shown = boss("GET", "/hosts/host-b").json()
    opened = boss("DELETE", place)

    assert [one.status_code for one in (done, again, opened)] == [204, 422, 204]
    assert "new disks" in shown["drained"]
    assert member.notifications.count() == 2


def test_host_in_use_stays(boss: Ask, member: User, reserved: Reserved):
    row = reserved(member, "host-b")
    refused = boss("DELETE", "/hosts/host-b")
    row.delete()

    assert refused.status_code == 422
    assert "in use" in refused.json()["detail"]
    assert boss("DELETE", "/hosts/host-b").status_code == 204
    assert boss("DELETE", "/hosts/main").status_code == 204
    assert not Host.objects.exists()


def test_orphans_are_deleted_once_their_name_was_repeated(boss: Ask, ghost: None):
    (listed,) = boss("GET", "/orphans").json()["items"]
    asked = boss("DELETE", "/orphans/ghost")
    done = boss("DELETE", "/orphans/ghost?confirm=ghost")
    again = boss("DELETE", "/orphans/ghost?confirm=ghost")

    assert (listed["name"], listed["adoptable"]) == ("ghost", False)
    assert len(listed["things"]) == 2
    assert [one.status_code for one in (asked, done, again)] == [428, 202, 409]
    shown = boss("GET", done.headers["Location"]).json()
    assert sorted(item["host"] for item in shown["items"]) == ["host-b", "main"]
    assert Entry.objects.first().what == "asked to delete 2 things"


def test_orphans_are_adopted_for_users_that_there_are(boss: Ask, ghost: None):
    lost = boss("POST", "/orphans/ghost/adopt", {"owner": "olive"})
    nobody = boss("POST", "/orphans/ghost/adopt", {"owner": "nemo"})

    assert lost.status_code == 422
    assert "There is no folder of a testbed ghost" in lost.json()["detail"]
    assert nobody.status_code == 404


def test_images_of_hosts_are_deleted_by_their_picks(boss: Ask):
    image = {
        "name": "a" * 64,
        "kind": "base image",
        "size_bytes": 10,
        "disk_bytes": 10,
        "virtual_bytes": 10,
        "used_at": 0,
        "made_at": 0,
        "inode": 1,
        "links": 1,
        "blob": "",
        "label": "ubuntu",
        "kept": "",
        "testbeds": {},
        "others": [],
    }
    images = [image, image | {"name": "b" * 64, "kept": "is new"}]
    host = Host.objects.get(name="main")
    ImageStore.objects.create(host=host, images=images, seen_at=timezone.now())

    listed = boss("GET", "/stored-images").json()["items"][0]["images"]
    picks = {"picks": [one["pick"] for one in listed]}
    asked = boss("POST", "/stored-images/delete", picks)
    token = asked.json()["erases"]["confirm"]
    done = boss("POST", "/stored-images/delete", picks | {"confirm": token})

    assert [one["unused"] for one in listed] == [True, False]
    assert asked.status_code == 428
    assert (done.status_code, len(done.json()["items"])) == (202, 1)
    assert Cleanup.objects.get().subject == "images"
    many = {"picks": ["x"] * 10_001}
    assert boss("POST", "/stored-images/delete", many).status_code == 422


def test_snapshots_of_all_are_listed_and_deleted_together(boss: Ask, testbed: Testbed):
    put(testbed, "web", taken("one"), taken("two"))

    listed = boss("GET", "/snapshots?per_page=1").json()
    wish = {"verb": "delete", "picks": [row.pk for row in LabSnapshot.objects.all()]}
    asked = boss("POST", "/snapshots", wish)
    token = asked.json()["erases"]["confirm"]
    done = boss("POST", "/snapshots", wish | {"confirm": token})

    assert (listed["count"], listed["items"][0]["testbed"]) == (2, "olive/lab")
    assert (asked.status_code, done.status_code) == (428, 202)
    assert SnapshotOrder.objects.count() == 2
    assert boss("GET", "/snapshots/orders").json()["count"] == 2
    for wrong in ({"verb": "create"}, {"picks": [2**63]}, {"picks": [-1]}):
        assert boss("POST", "/snapshots", wish | wrong).status_code == 422


def test_admins_token_without_the_scope_administers_nothing(
    admin: User, owner: User, testbed: Testbed
):
    limited = asker(admin, "run", "edit", "manage")

    for path in ("/orphans", "/new-hosts", "/stored-images", "/snapshots", "/record"):
        assert limited("GET", path).status_code == 403
        assert asker(owner, *ALL)("GET", path).status_code == 403
    assert limited("DELETE", "/hosts/main").status_code == 403
    assert Host.objects.count() == 2
