"""Deleted things come back whole, once, and replace nothing that is there by then."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.contrib.auth.models import User

from orchestration.errors import StateError
from testbed.access.limits import LimitReached
from testbed.models import SavedCommand, Testbed, TrashItem
from testbed.tasks import keep_house_once
from testbed.testbeds.files import create_testbed, delete_file, delete_testbed
from testbed.testbeds.listing.labels import describe
from testbed.testbeds.stored_files import files_bytes, list_files
from testbed.testbeds.trash import folders as graves
from testbed.testbeds.trash import restoring
from testbed.testbeds.trash.folders import MARK, TRASH
from testbed.testbeds.trash.restoring import restore_file, restore_testbed

YAML = b"machines: []\n"
FILES = {"kvm-compose.yaml": YAML, "scripts/setup.sh": b"#!/bin/sh\n"}


class Died(BaseException):
    """The process ends here."""


def dies(*args: object, **options: object) -> None:
    raise Died


@pytest.fixture
def folders(settings: object, tmp_path: Path) -> Path:
    settings.TESTBEDS_DIR = tmp_path / "testbeds"
    return settings.TESTBEDS_DIR


@pytest.fixture
def lab(owner: User, folders: Path) -> Testbed:
    return create_testbed(owner, "lab", FILES)


@pytest.fixture
def dying(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    """Lets a process die at a call: `dying.setattr(place, name, dies)`."""
    with monkeypatch.context() as patch:
        yield patch


def test_description_and_tags_come_back(lab: Testbed, owner: User) -> None:
    describe(lab, lab.owner, "For the course", "course, 2026")
    lab.refresh_from_db()
    item = delete_testbed(lab, owner)
    assert item is not None

    back = restore_testbed(item)

    assert Testbed.objects.get().description == back.description == "For the course"
    assert [tag.name for tag in back.tags.all()] == ["2026", "course"]


def test_testbed_comes_back_as_a_draft_with_all_its_files(
    lab: Testbed, owner: User, folders: Path
) -> None:
    SavedCommand.objects.create(
        testbed=lab, name="look", execution={"form": "shell"}, saved_by=owner
    )
    item = delete_testbed(lab, owner)
    assert item is not None

    back = restore_testbed(item)

    assert (back.name, back.owner, back.condition) == ("lab", owner, "empty")
    assert back.pk != lab.pk
    assert list(list_files(back)) == list(FILES)
    assert back.project.file("scripts/setup.sh").read_bytes() == b"#!/bin/sh\n"
    assert files_bytes(back) == sum(map(len, FILES.values()))
    assert back.saved_commands.get().execution == {"form": "shell"}
    assert not TrashItem.objects.exists()
    assert not (back.directory / MARK).exists()
    keep_house_once()
    assert list((folders / TRASH).glob("*")) == []
    assert list(list_files(back)) == list(FILES)


def test_name_and_number_that_are_taken_stay_with_the_other(
    lab: Testbed, owner: User
) -> None:
    item = delete_testbed(lab, owner)
    other = create_testbed(owner, "lab", {"kvm-compose.yaml": b"other: 1\n"})
    assert item is not None
    assert other.number == lab.number

    back = restore_testbed(item)

    assert (back.name, back.owner) == ("lab-2", owner)
    assert back.number != other.number
    assert other.project.yaml.read_bytes() == b"other: 1\n"
    assert back.project.yaml.read_bytes() == YAML


def test_longest_name_stays_within_its_length(owner: User, folders: Path) -> None:
    name = "x" * 40
    item = delete_testbed(create_testbed(owner, name, FILES), owner)
    create_testbed(owner, name, FILES)
    assert item is not None

    assert restore_testbed(item).name == f"{'x' * 38}-2"


def test_testbed_named_like_a_part_of_the_trash_comes_back(
    owner: User, folders: Path
) -> None:
    for name in (graves.WHOLE, graves.KEPT, "files"):
        item = delete_testbed(create_testbed(owner, name, FILES), owner)
        assert item is not None
        assert list(list_files(restore_testbed(item))) == list(FILES)


def test_thing_comes_back_once(lab: Testbed, owner: User) -> None:
    item = delete_testbed(lab, owner)
    assert item is not None
    restore_testbed(TrashItem.objects.get())

    with pytest.raises(StateError, match="is not in the trash any more"):
        restore_testbed(item)
    assert Testbed.objects.count() == 1


def test_limit_of_testbeds_holds_for_those_that_come_back(
    lab: Testbed, owner: User, settings: object
) -> None:
    item = delete_testbed(lab, owner)
    settings.USER_LIMITS = {**settings.USER_LIMITS, "testbeds": 1}
    create_testbed(owner, "other", FILES)
    assert item is not None

    with pytest.raises(LimitReached):
        restore_testbed(item)
    assert TrashItem.objects.exists()


def test_bytes_of_what_comes_back_count_once(
    lab: Testbed, owner: User, settings: object
) -> None:
    big = create_testbed(owner, "big", {**FILES, "data": bytes(700_000)})
    settings.USER_LIMITS = {**settings.USER_LIMITS, "user_mib": 1}
    item = delete_testbed(big, owner)
    assert item is not None

    back = restore_testbed(item)
    item = delete_file(back, "data", owner)
    assert item is not None

    assert restore_file(item, back) == "data"


@pytest.mark.parametrize(
    ("place", "call"),
    [
        (restoring, "take_back"),
        (restoring, "_bring_commands_back"),
        (restoring, "unmark"),
    ],
)
def test_process_that_dies_on_the_way_loses_nothing(
    lab: Testbed,
    owner: User,
    folders: Path,
    dying: pytest.MonkeyPatch,
    place: object,
    call: str,
) -> None:
    item = delete_testbed(lab, owner)
    assert item is not None
    dying.setattr(place, call, dies)
    with pytest.raises(Died):
        restore_testbed(item)
    dying.undo()

    keep_house_once()

    back = Testbed.objects.filter(name="lab").first()
    if back is None:
        back = restore_testbed(TrashItem.objects.get())
    assert list(list_files(back)) == list(FILES)
    assert not (back.directory / MARK).exists()


def test_thing_that_is_not_there_yet_says_so_and_stays_in_the_trash(
    lab: Testbed, owner: User, folders: Path
) -> None:
    item = delete_testbed(lab, owner)
    assert item is not None
    shutil.move(folders / TRASH / item.key, folders / "elsewhere")

    with pytest.raises(StateError, match="not in the trash any more, or not yet"):
        restore_testbed(item)

    assert TrashItem.objects.exists()
    assert not Testbed.objects.exists()


def test_file_comes_back_to_its_folder(lab: Testbed, owner: User) -> None:
    item = delete_file(lab, "scripts/setup.sh", owner)
    assert item is not None
    lab.project.file("scripts").rmdir()

    assert restore_file(item, lab) == "scripts/setup.sh"

    assert list(list_files(lab)) == list(FILES)
    assert files_bytes(lab) == sum(map(len, FILES.values()))
    assert not TrashItem.objects.exists()


def test_file_replaces_nothing(lab: Testbed, owner: User) -> None:
    first = delete_file(lab, "scripts/setup.sh", owner)
    lab.project.file("scripts/setup.sh").write_text("second")
    second = delete_file(lab, "scripts/setup.sh", owner)
    lab.project.file("scripts/setup.sh").write_text("third")
    assert first is not None
    assert second is not None

    paths = [restore_file(first, lab), restore_file(second, lab)]

    assert paths == ["scripts/setup-restored.sh", "scripts/setup-restored-2.sh"]
    assert lab.project.file("scripts/setup.sh").read_text() == "third"
    assert lab.project.file(paths[1]).read_text() == "second"


def test_file_whose_folder_is_a_file_now_stays_in_the_trash(
    lab: Testbed, owner: User
) -> None:
    item = delete_file(lab, "scripts/setup.sh", owner)
    lab.project.file("scripts").rmdir()
    lab.project.file("scripts").write_text("a file")
    assert item is not None

    with pytest.raises(StateError):
        restore_file(item, lab)
    assert TrashItem.objects.exists()


def test_files_of_a_testbed_that_came_back_can_come_back_too(
    lab: Testbed, owner: User
) -> None:
    file = delete_file(lab, "scripts/setup.sh", owner)
    whole = delete_testbed(lab, owner)
    assert file is not None
    assert whole is not None

    back = restore_testbed(whole)
    file.refresh_from_db()

    assert file.origin == back.pk
    assert restore_file(file, back) == "scripts/setup.sh"
