"""The page of images: for admins only, from rows only, with users and reasons.

A look is asked for and polled until it is done; a host that could not be asked, and one
that keeps none, is shown as such.
"""

from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone

from orchestration.inventory.image_uses import Verdict
from testbed.images import pruning
from testbed.images.pruning import look_at_images
from testbed.models import Cleanup, Host, ImageStore, Testbed
from tests.orchestration.stores import GOLDEN
from tests.testbed.images.image_hosts import Machines
from tests.testbed.images.page import shown


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
    assert getattr(client, method)(path, {"pick": "all"}).status_code == 403
    assert "/images/" not in client.get("/hosts/").content.decode()
    assert not Cleanup.objects.exists()


def test_hosts_lead_admins_to_the_images(page: Client, db: None) -> None:
    assert 'href="/images/"' in shown(page, "/hosts/")


def test_page_before_any_look_says_when_there_will_be_one(
    page: Client, machines: Machines
) -> None:
    text = shown(page)

    assert "never updated" in text
    assert "every ten minutes" in text
    assert "The images of main, host-b were not read yet." in text
    assert "No unused images." not in text
    assert "Delete" not in text


def test_page_without_hosts_says_so(page: Client) -> None:
    assert "There are no hosts yet." in shown(page)


def test_images_are_listed_with_their_users(
    page: Client, seen: Machines, owner: User
) -> None:
    assert "ghost (orphans)" in shown(page)
    Testbed.objects.create(owner=owner, slug="ghost", number=3)

    text = shown(page)

    assert '<a href="/testbeds/olive/ghost/">olive/ghost</a>' in text
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
    assert "The list is from the last update." in text
    assert GOLDEN in text


def test_reason_why_nobody_knows_is_told_once_for_a_host(
    page: Client, seen: Machines
) -> None:
    disk = seen.other.layer("web", "x", testbed="lab")
    error = f"head: error reading '{disk}': Input/output error"
    seen.read_errors["host-b"] = error
    look_at_images(seen)

    text = shown(page)

    assert text.count("<span>unknown</span>") == 3
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
    assert "Updating" in shown(page)
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


def test_look_that_is_kept_does_not_take_back_a_wish_for_another(
    seen: Machines, monkeypatch: pytest.MonkeyPatch
) -> None:
    def saved(verdict: Verdict) -> dict[str, object]:
        ImageStore.objects.filter(asked_at=None).update(asked_at=timezone.now())
        monkeypatch.setattr(pruning, "_image", lambda verdict: {})
        return {}

    monkeypatch.setattr(pruning, "_image", saved)
    look_at_images(seen)

    assert not ImageStore.objects.filter(asked_at=None).exists()
