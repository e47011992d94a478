"""The page of orphans: for admins only, from rows only, nothing without confirmation.

Orphans are listed, deleted by a worker once their name was typed, or adopted for an
owner; that no worker takes a deletion is said.
"""

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone

from orchestration.plan.model import Command, Options
from testbed.models import Cleanup, CleanupItem, Host, Inventory, Testbed
from tests.testbed.conftest import Doors
from tests.testbed.preparing import prepare
from tests.testbed.unclaimed_work import LONG_AGO, waited_s

PLACES = (
    ("get", "/orphans/"),
    ("post", "/orphans/delete/"),
    ("post", "/orphans/adopt/"),
    ("get", "/orphans/cleanups/1/"),
)


def thing(kind: str, name: str, testbed: str = "ghost", **more: object) -> dict:
    blank = {"label": "", "place": "", "is_active": True}
    return {"kind": kind, "name": name, "testbed": testbed, **blank, **more}


@pytest.fixture
def ghost(testbed: Testbed, doors: Doors) -> None:
    """Orphans of a testbed `ghost` on both hosts."""
    for host in Host.objects.all():
        things = [thing("domain", "ghost-web", label="web", is_active=False)]
        things += [thing("bridge", "t9-br0", label="br0")]
        Inventory.objects.create(host=host, things=things, looked_at=timezone.now())


@pytest.mark.parametrize(("method", "path"), PLACES)
def test_only_admins_see_orphans(
    client: Client, owner: User, ghost: None, method: str, path: str
) -> None:
    assert getattr(client, method)(path).status_code == 302
    client.force_login(owner)
    assert getattr(client, method)(path, {"name": "ghost"}).status_code == 403
    assert "Orphans" not in client.get("/hosts/").content.decode()


def test_orphans_are_listed_by_name_and_host_with_both_ways_out(
    page: Client, ghost: None
) -> None:
    shown = page.get("/orphans/").content.decode()

    assert "there is no such testbed" in shown
    assert shown.count("<code>ghost-web</code>") == 2
    assert shown.count("<code>t9-br0</code>") == 2
    assert "Not possible. There is no folder of a testbed ghost on main" in (
        " ".join(shown.replace("</svg>", "").split())
    )
    assert "4 things on 2 hosts" in shown
    assert "second installation" in shown


def test_page_without_orphans_says_so(page: Client, testbed: Testbed) -> None:
    shown = page.get("/orphans/").content.decode()

    assert "There are none." in shown
    assert "never updated: is the worker running?" in shown


def test_hosts_and_django_admin_lead_to_the_orphans(
    page: Client, testbed: Testbed
) -> None:
    assert 'href="/orphans/"' in page.get("/hosts/").content.decode()
    assert 'href="/orphans/"' in page.get("/admin/").content.decode()


def test_names_of_foreign_things_are_escaped(page: Client, testbed: Testbed) -> None:
    Inventory.objects.create(
        host=Host.objects.get(name="main"),
        things=[thing("bridge", "<script>x</script>", testbed="<b>bold</b>")],
        looked_at=timezone.now(),
    )

    shown = page.get("/orphans/").content.decode()

    assert "<script>x" not in shown
    assert "<b>bold" not in shown


def test_deletion_is_handed_to_a_worker_and_has_a_page(
    page: Client, ghost: None
) -> None:
    asked = {"name": "ghost", "confirm": "ghost"}

    answer = page.post("/orphans/delete/", asked, follow=True)

    (cleanup,) = Cleanup.objects.all()
    assert answer.redirect_chain == [(f"/orphans/cleanups/{cleanup.pk}/", 302)]
    assert cleanup.status == "pending"
    assert cleanup.items.count() == 4
    shown = answer.content.decode()
    assert "data-poll" in shown
    assert "<code>ghost-web</code>" in shown


def test_name_that_was_not_typed_deletes_nothing(page: Client, ghost: None) -> None:
    answer = page.post("/orphans/delete/", {"name": "ghost", "confirm": "host"})

    assert answer.status_code == 422
    assert "not typed as it is" in answer.content.decode()
    assert not Cleanup.objects.exists()


def test_deletion_that_is_over_shows_its_outcome_and_is_not_asked_for_again(
    page: Client, admin: User, ghost: None
) -> None:
    cleanup = Cleanup.objects.create(
        name="ghost", asked_by=admin, status="failed", message="1 of 2 are gone."
    )
    CleanupItem.objects.create(
        cleanup=cleanup,
        host="main",
        kind="bridge",
        name="t9-br0",
        status="failed",
        message="is still there",
    )

    shown = page.get(f"/orphans/cleanups/{cleanup.pk}/").content.decode()

    assert "1 of 2 are gone." in shown
    assert "is still there" in shown
    assert "data-poll" not in shown
    assert f"/orphans/cleanups/{cleanup.pk}/" in page.get("/orphans/").content.decode()


def test_adopting_asks_for_an_owner_and_leads_to_the_testbed(
    page: Client, testbed: Testbed, doors: Doors, member: User, admin: User
) -> None:
    Testbed.objects.create(owner=admin, slug="tb9", name="lab", number=9)
    prepare(testbed, Command.GENERATE_ARTEFACTS, Options())
    testbed.delete()
    things = [thing("domain", "lab-web", testbed="lab", label="web")]
    Inventory.objects.create(
        host=Host.objects.get(name="main"), things=things, looked_at=timezone.now()
    )
    assert "mark</option>" in page.get("/orphans/").content.decode()

    answer = page.post("/orphans/adopt/", {"name": "lab", "owner": "mark"})

    assert answer.url == "/testbeds/mark/lab/"
    assert Testbed.objects.get(slug="lab").owner == member


def test_adopting_what_cannot_be_says_why(page: Client, ghost: None) -> None:
    answer = page.post("/orphans/adopt/", {"name": "ghost", "owner": "ada"})

    assert answer.status_code == 422
    assert "no folder of a testbed ghost" in answer.content.decode()


def test_adopting_for_nobody_is_refused(
    page: Client, testbed: Testbed, doors: Doors
) -> None:
    prepare(testbed, Command.GENERATE_ARTEFACTS, Options())
    testbed.delete()
    things = [thing("domain", "lab-web", testbed="lab", label="web")]
    Inventory.objects.create(
        host=Host.objects.get(name="main"), things=things, looked_at=timezone.now()
    )

    gone = User.objects.create(username="gone", is_active=False)

    for owner in ("nobody", gone.username, "\0"):
        answer = page.post("/orphans/adopt/", {"name": "lab", "owner": owner})
        assert answer.status_code == 404
    assert not Testbed.objects.exists()


def test_deletion_that_no_worker_takes_says_so(
    page: Client, admin: User, testbed: Testbed
) -> None:
    cleanup = Cleanup.objects.create(name="ghost", asked_by=admin)
    path = f"/orphans/cleanups/{cleanup.pk}/"
    assert "No worker" not in page.get(path).content.decode()

    Cleanup.objects.update(created_at=timezone.now() - LONG_AGO)

    assert waited_s(page.get(path).content.decode(), "deletion") >= 3600
    assert "Is the Celery worker running?" in page.get(path).content.decode()
