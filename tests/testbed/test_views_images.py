"""The page of images: for admins only, from rows only, nothing without confirmation."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from django.contrib.auth.models import User
from django.db import IntegrityError
from django.test import Client
from django.utils import timezone

from orchestration.image_users import Verdict
from orchestration.providers import image_files
from testbed.models import Cleanup, Host, ImageStore, Testbed
from testbed.services.images import delete_images
from testbed.tasks import cleanups, images
from testbed.tasks.cleanups import clean_up
from testbed.tasks.images import look_at_images
from tests.orchestration.stores import BASE, GOLDEN, OWN
from tests.testbed.conftest import Doors
from tests.testbed.image_hosts import Machines, stand_in


@pytest.fixture
def machines(
    db: None,
    settings: object,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    doors: Doors,
) -> Iterator[Machines]:
    machines = Machines(tmp_path)
    machines.add_rows(settings)
    stand_in(machines, monkeypatch)
    monkeypatch.setattr(cleanups, "kept_hosts", lambda: machines)
    yield machines
    machines.close()


@pytest.fixture
def seen(machines: Machines) -> Machines:
    """On host-b an unused image of each kind; on main one that an orphan uses."""
    for name in (GOLDEN, BASE, OWN):
        machines.other.put(name, content=bytes(range(256)) * 4096)
    used = machines.main.put("golden-1111111111111111.qcow2")
    machines.main.layer("web", str(used), testbed="ghost")
    look_at_images(machines)
    return machines


def shown(page: Client, path: str = "/images/") -> str:
    return page.get(path).content.decode()


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("get", "/images/"),
        ("post", "/images/look/"),
        ("get", "/images/delete/"),
        ("post", "/images/delete/"),
    ],
)
def test_only_admins_see_images(
    client: Client, owner: User, seen: Machines, method: str, path: str
) -> None:
    assert getattr(client, method)(path).status_code == 302
    client.force_login(owner)
    assert getattr(client, method)(path, {"pick": "all"}).status_code == 404
    assert "/images/" not in client.get("/hosts/").content.decode()
    assert not Cleanup.objects.exists()


def test_hosts_lead_admins_to_the_images(page: Client, db: None) -> None:
    assert 'href="/images/"' in shown(page, "/hosts/")


def test_page_before_any_look_says_when_there_will_be_one(
    page: Client, machines: Machines
) -> None:
    text = shown(page)

    assert "not looked at yet" in text
    assert "every ten minutes" in text
    assert "Delete" not in text


def test_page_without_hosts_says_so(page: Client) -> None:
    assert "There are no hosts yet." in shown(page)


def test_images_are_listed_with_their_users(
    page: Client, seen: Machines, owner: User
) -> None:
    assert "ghost (orphans)" in shown(page)
    Testbed.objects.create(owner=owner, slug="ghost", number=3)

    text = shown(page)

    assert '<a href="/testbeds/ghost/">ghost</a>' in text
    assert "1 machine" in text
    assert text.count('type="checkbox"') == 3
    assert f'value="host-b:{GOLDEN}"' in text
    assert "3.0 MiB can be freed" in text


def test_host_that_could_not_be_asked_is_shown_with_the_reason(
    page: Client, seen: Machines
) -> None:
    seen.dead = {"host-b"}
    look_at_images(seen)

    text = shown(page)

    assert "Host host-b does not answer." in text
    assert "The list is what was seen before." in text
    assert GOLDEN in text


def test_reason_why_nobody_knows_is_told_once_for_a_host(
    page: Client, seen: Machines, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = seen.other.layer("web", "x", testbed="lab")
    error = f"head: error reading '{disk}': Input/output error"
    say = f'[ "$1" != {seen.other.images} ] || echo "{error}" >&2\n'
    monkeypatch.setattr(image_files, "_LOOK", say + image_files._LOOK)
    look_at_images(seen)

    text = shown(page)

    assert text.count("<span>not known</span>") == 3
    assert text.count(f"{disk} of testbed lab may lie over any image") == 1
    assert "let it be read, or delete it there" in text
    assert 'type="checkbox"' not in text


def test_simulated_host_keeps_none(page: Client, seen: Machines) -> None:
    Host.objects.create(name="rehearsal", kind="simulated")

    assert "A simulated host keeps no images." in shown(page)


def test_look_again_is_sent_and_polled_until_it_is_done(
    page: Client, seen: Machines
) -> None:
    assert "data-poll" not in shown(page)

    assert page.post("/images/look/").status_code == 302

    assert "data-poll" in shown(page)
    assert "being looked at" in shown(page)
    look_at_images(seen)
    assert "data-poll" not in shown(page)


def test_look_that_no_worker_takes_is_said(page: Client, seen: Machines) -> None:
    page.post("/images/look/")
    before = timezone.now() - timedelta(minutes=1)
    ImageStore.objects.update(asked_at=before, looked_at=before - timedelta(hours=1))

    assert "No worker has taken this look for" in shown(page)


def test_poll_gets_the_part_that_changes(page: Client, seen: Machines) -> None:
    text = page.get("/images/", headers={"hx-request": "true"}).content.decode()

    assert text.lstrip().startswith('<div class="stack" id="images"')
    assert "<html" not in text


def test_choice_is_shown_with_its_bytes_before_anything_goes(
    page: Client, seen: Machines
) -> None:
    text = shown(page, f"/images/delete/?pick=host-b:{GOLDEN}&pick=host-b:{BASE}")

    assert "Delete 2 items, 2.0 MiB" in text
    assert "downloaded again" in text
    assert OWN not in text
    assert not Cleanup.objects.exists()


@pytest.mark.parametrize(
    "pick", ["", "host-b:nothing", "main:golden-1111111111111111.qcow2"]
)
def test_choosing_nothing_that_may_go_leads_back(
    page: Client, seen: Machines, pick: str
) -> None:
    asked = page.get("/images/delete/", {"pick": pick}, follow=True)

    assert "Choose what to delete first." in asked.content.decode()


def test_confirmed_images_go_and_the_page_tells_of_each(
    page: Client, seen: Machines
) -> None:
    picks = {"pick": [f"host-b:{GOLDEN}", f"host-b:{OWN}"]}

    asked = page.post("/images/delete/", picks)

    cleanup = Cleanup.objects.get()
    assert asked["Location"] == f"/orphans/cleanups/{cleanup.pk}/"
    assert seen.other.names() == {GOLDEN, BASE, OWN}
    clean_up(cleanup.pk)
    assert seen.other.names() == {BASE}
    text = shown(page, asked["Location"])
    assert "All of it is gone. 2.0 MiB freed." in text
    assert text.count("1.0 MiB") == 2
    assert 'href="/images/"' in text
    assert GOLDEN not in shown(page).split("Deletions")[0]


def test_second_deletion_waits(page: Client, seen: Machines) -> None:
    page.post("/images/delete/", {"pick": "all"})

    assert page.post("/images/delete/", {"pick": "all"}).status_code == 409


def test_only_a_second_deletion_is_told_as_one(seen: Machines, admin: User) -> None:
    row = ImageStore.objects.get(host__name="host-b")
    row.images = [{**row.images[0], "name": None}]
    row.save()

    with pytest.raises(IntegrityError, match="cleanupitem"):
        delete_images(["all"], admin)

    assert not Cleanup.objects.exists()


def test_what_is_gone_from_the_list_cannot_be_confirmed(
    page: Client, seen: Machines
) -> None:
    picked = page.post("/images/delete/", {"pick": "host-b:nothing"})

    assert picked.status_code == 422
    assert not Cleanup.objects.exists()


def test_image_that_found_a_user_since_the_look_stays_and_is_named(
    seen: Machines, admin: User
) -> None:
    cleanup = delete_images(["all"], admin)
    seen.other.layer("db", str(seen.other.images / GOLDEN))
    (seen.other.images / BASE).unlink()

    clean_up(cleanup.pk)

    cleanup.refresh_from_db()
    outcomes = cleanup.items.values_list("name", "status", "message")
    assert set(outcomes) == {
        (GOLDEN, "failed", "is used by lab"),
        (BASE, "unchanged", "was gone already"),
        (OWN, "done", "1.0 MiB"),
    }
    assert cleanup.status == "failed"


def test_host_that_fell_silent_fails_its_items(seen: Machines, admin: User) -> None:
    cleanup = delete_images(["all"], admin)
    seen.dead = {"host-b"}

    clean_up(cleanup.pk)

    cleanup.refresh_from_db()
    assert cleanup.status == "failed"
    assert {i.message for i in cleanup.items.all()} == {"Host host-b does not answer."}
    assert seen.other.names() == {GOLDEN, BASE, OWN}


def test_host_that_was_removed_meanwhile_fails_its_items(
    seen: Machines, admin: User
) -> None:
    cleanup = delete_images(["all"], admin)
    Host.objects.filter(name="host-b").delete()

    clean_up(cleanup.pk)

    messages = {item.message for item in cleanup.items.all()}
    assert messages == {"there is no such host any more"}


def test_deletions_of_images_are_not_listed_among_orphans(
    page: Client, seen: Machines, admin: User
) -> None:
    delete_images(["all"], admin)

    assert "unused images" in shown(page)
    assert "unused images" not in shown(page, "/orphans/")


def test_unfinished_file_that_stays_is_no_success(
    seen: Machines, admin: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Written to just now: a worker does not delete it.
    seen.other.put(f"{BASE}.part")
    monkeypatch.setattr(images, "is_ripe", lambda left, now: True)
    look_at_images(seen)
    cleanup = delete_images(["host-b:"], admin)

    clean_up(cleanup.pk)

    cleanup.refresh_from_db()
    assert cleanup.status == "failed"
    assert "0 of 1 files" in cleanup.items.get().message


def test_look_that_is_kept_does_not_take_back_a_wish_for_another(
    seen: Machines, monkeypatch: pytest.MonkeyPatch
) -> None:
    def saved(verdict: Verdict) -> dict[str, object]:
        ImageStore.objects.filter(asked_at=None).update(asked_at=timezone.now())
        monkeypatch.setattr(images, "_image", lambda verdict: {})
        return {}

    monkeypatch.setattr(images, "_image", saved)
    look_at_images(seen)

    assert not ImageStore.objects.filter(asked_at=None).exists()
