"""The trash has its days, its place in the quota and its limits."""

from datetime import timedelta
from pathlib import Path

import pytest
from django.contrib.auth.models import User
from django.utils import timezone

from testbed.access.limits import LimitReached
from testbed.models import Testbed, TrashItem
from testbed.pages.budgets import files_and_logs_of
from testbed.tasks import keep_house_once
from testbed.testbeds.erasure.losses import Unconfirmed
from testbed.testbeds.files import (
    create_testbed,
    delete_file,
    delete_testbed,
    update_files,
)
from testbed.testbeds.stored_files import files_bytes_of
from testbed.testbeds.trash import items
from testbed.testbeds.trash.folders import TRASH
from testbed.testbeds.trash.items import remove_items, remove_old_items
from tests.testbed.confirming import agreed

FILES = {"kvm-compose.yaml": b"machines: []\n", "data": bytes(1000)}
MIB = 1024 * 1024


@pytest.fixture
def folders(settings: object, tmp_path: Path) -> Path:
    settings.TESTBEDS_DIR = tmp_path / "testbeds"
    return settings.TESTBEDS_DIR


@pytest.fixture
def lab(owner: User, folders: Path) -> Testbed:
    return create_testbed(owner, "lab", FILES)


def graves(folders: Path) -> list[Path]:
    return list((folders / TRASH).glob("*"))


def aged(days: float) -> None:
    TrashItem.objects.update(deleted_at=timezone.now() - timedelta(days=days))


def test_things_go_when_their_days_are_over(lab: Testbed, folders: Path) -> None:
    delete_file(lab, "data", lab.owner)
    aged(6.9)
    keep_house_once()
    assert TrashItem.objects.count() == len(graves(folders)) == 1
    aged(7.1)

    keep_house_once()

    assert not TrashItem.objects.exists()
    assert graves(folders) == []


def test_admin_sets_the_days(lab: Testbed, folders: Path, settings: object) -> None:
    settings.TRASH_DAYS = 30
    delete_file(lab, "data", lab.owner)
    aged(29)

    assert remove_old_items() == 0
    settings.TRASH_DAYS = 1
    assert remove_old_items() == 1


def test_without_days_a_deletion_is_final_and_has_to_be_confirmed(
    lab: Testbed, folders: Path, settings: object
) -> None:
    settings.TRASH_DAYS = 0

    with pytest.raises(Unconfirmed, match="This erases data"):
        delete_file(lab, "data", lab.owner)
    agreed(delete_file, lab, "data", lab.owner)
    with pytest.raises(Unconfirmed, match=r"This erases kvm-compose\.yaml"):
        delete_testbed(lab, lab.owner)
    agreed(delete_testbed, lab, lab.owner)

    assert not TrashItem.objects.exists()
    assert graves(folders) == []


def test_trash_counts_among_its_owners_files(lab: Testbed, owner: User) -> None:
    before = files_bytes_of(owner)

    delete_file(lab, "data", owner)
    delete_testbed(lab, owner)

    assert files_bytes_of(owner) == before == 1013
    (files,) = (b for b in files_and_logs_of(owner) if b.name == "Files")
    assert (files.used, files.note) == (1013, "1013 B of it in the trash")


def test_full_trash_keeps_new_files_away_and_says_how_to_make_room(
    lab: Testbed, owner: User, settings: object
) -> None:
    settings.USER_LIMITS = {**settings.USER_LIMITS, "user_mib": 1}
    update_files(lab, {"data": bytes(MIB - 100)})
    delete_file(lab, "data", owner)

    with pytest.raises(LimitReached) as refusal:
        update_files(lab, {"data": bytes(1000)})
    assert "empty the trash" in refusal.value.hint
    agreed(remove_items, TrashItem.objects.filter(owner=owner), owner)
    update_files(lab, {"data": bytes(1000)})


@pytest.mark.parametrize(("limit", "most"), [("MOST_ITEMS", 2), ("MOST_FILES", 2)])
def test_many_empty_things_push_the_oldest_out(
    lab: Testbed,
    owner: User,
    folders: Path,
    monkeypatch: pytest.MonkeyPatch,
    limit: str,
    most: int,
) -> None:
    monkeypatch.setattr(items, limit, most)
    for name in ("a", "b", "c", "d"):
        update_files(lab, {name: b""})
        delete_file(lab, name, owner)
    keep_house_once()

    assert [item.path for item in owner.trash.all()] == ["d", "c"]
    assert len(graves(folders)) == 2


def test_one_large_testbed_stays_above_the_limit(
    lab: Testbed, owner: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(items, "MOST_FILES", 1)

    delete_testbed(lab, owner)

    assert owner.trash.get().files == 2


def test_one_users_things_push_out_nothing_of_another(
    lab: Testbed, owner: User, stranger: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(items, "MOST_ITEMS", 1)
    other = create_testbed(stranger, "far", FILES)
    delete_file(lab, "data", owner)

    delete_file(other, "data", stranger)

    assert TrashItem.objects.count() == 2


def test_removal_needs_the_confirmation_of_these_things(
    lab: Testbed, owner: User, folders: Path
) -> None:
    delete_file(lab, "data", owner)
    own = TrashItem.objects.filter(owner=owner)
    with pytest.raises(Unconfirmed) as first:
        remove_items(own, owner)
    delete_testbed(lab, owner)

    with pytest.raises(Unconfirmed, match="not the one that was confirmed") as second:
        remove_items(own, owner, confirm=first.value.erasure.token)
    assert len(graves(folders)) == 2
    assert remove_items(own, owner, confirm=second.value.erasure.token) == 2
    assert graves(folders) == []


def test_row_whose_thing_never_arrived_goes(
    lab: Testbed, owner: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    item = items.keep_file(lab, "data", owner)
    assert item is not None
    assert remove_old_items() == 0
    aged(0.1)

    assert remove_old_items() == 1
    assert lab.project.file("data").exists()


def test_thing_stays_with_the_owner_and_names_the_admin_who_deleted_it(
    lab: Testbed, owner: User, admin: User, stranger: User
) -> None:
    delete_testbed(lab, admin)

    item = TrashItem.objects.get()
    assert (item.owner, item.deleted_by) == (owner, admin)
    seen = {
        user.username: TrashItem.objects.all().visible_to(user).exists()
        for user in (owner, admin, stranger)
    }
    assert seen == {"olive": True, "ada": True, "sam": False}
