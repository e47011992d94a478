"""Images that an admin chose are deleted once that was confirmed, each with an outcome.

One that found a user since the look stays; a host that fell silent or was removed fails
its own images only.
"""

import pytest
from django.contrib.auth.models import User
from django.db import IntegrityError
from django.test import Client

from testbed.cleanups import clean_up
from testbed.images import pruning
from testbed.images.listing import delete_images
from testbed.images.pruning import look_at_images
from testbed.models import Cleanup, Host, ImageStore
from tests.orchestration.stores import BASE, GOLDEN, OWN
from tests.testbed.confirming import agreed, answered, seal_of
from tests.testbed.images.image_hosts import Machines
from tests.testbed.images.page import shown

pytestmark = pytest.mark.database


def test_choice_is_shown_with_its_bytes_before_anything_goes(
    page: Client, seen: Machines
) -> None:
    text = shown(page, f"/images/delete/?pick=host-b:{GOLDEN}&pick=host-b:{BASE}")

    assert "Delete 2 items, 2.0 MiB" in text
    assert GOLDEN in text
    assert BASE in text
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

    question = page.post("/images/delete/", picks)
    assert not Cleanup.objects.exists()
    asked = answered(page, question)

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
    question = page.post("/images/delete/", {"pick": "all"})
    answered(page, question)

    assert answered(page, question).status_code == 409


def test_only_a_second_deletion_is_told_as_one(seen: Machines, admin: User) -> None:
    row = ImageStore.objects.get(host__name="host-b")
    row.images = [{**row.images[0], "name": None}]
    row.save()

    with pytest.raises(IntegrityError, match="cleanupitem"):
        agreed(delete_images, ["all"], admin)

    assert not Cleanup.objects.exists()


def test_answer_does_not_count_for_other_images(page: Client, seen: Machines) -> None:
    question = page.post("/images/delete/", {"pick": f"host-b:{GOLDEN}"})
    fields = {"pick": f"host-b:{BASE}", "seal": seal_of(question)}

    again = page.post("/images/delete/", fields)

    assert again.status_code == 422
    assert "The list has changed since you were asked." in again.content.decode()
    assert not Cleanup.objects.exists()


def test_image_gone_from_the_list_cannot_be_confirmed(
    page: Client, seen: Machines
) -> None:
    picked = page.post("/images/delete/", {"pick": "host-b:nothing"})

    assert picked.status_code == 422
    assert not Cleanup.objects.exists()


def test_image_that_found_a_user_since_the_look_stays_and_is_named(
    seen: Machines, admin: User
) -> None:
    cleanup = agreed(delete_images, ["all"], admin)
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
    cleanup = agreed(delete_images, ["all"], admin)
    seen.dead = {"host-b"}

    clean_up(cleanup.pk)

    cleanup.refresh_from_db()
    assert cleanup.status == "failed"
    assert {i.message for i in cleanup.items.all()} == {"Host host-b does not answer."}
    assert seen.other.names() == {GOLDEN, BASE, OWN}


def test_host_that_was_removed_meanwhile_fails_its_items(
    seen: Machines, admin: User
) -> None:
    cleanup = agreed(delete_images, ["all"], admin)
    Host.objects.filter(name="host-b").delete()

    clean_up(cleanup.pk)

    messages = {item.message for item in cleanup.items.all()}
    assert messages == {"there is no such host any more"}


def test_deletions_of_images_are_not_listed_among_orphans(
    page: Client, seen: Machines, admin: User
) -> None:
    agreed(delete_images, ["all"], admin)

    assert "unused images" in shown(page)
    assert "unused images" not in shown(page, "/orphans/")


def test_unfinished_file_that_stays_is_no_success(
    seen: Machines, admin: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Written to just now: a worker does not delete it.
    seen.other.put(f"{BASE}.part")
    monkeypatch.setattr(pruning, "is_ripe", lambda left, now: True)
    look_at_images(seen)
    cleanup = agreed(delete_images, ["host-b:"], admin)

    clean_up(cleanup.pk)

    cleanup.refresh_from_db()
    assert cleanup.status == "failed"
    assert "0 of 1 files" in cleanup.items.get().message
