"""A deletion that stops anywhere on its way is finished, and nothing else is lost."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.contrib.auth.models import User

from orchestration.errors import StateError
from testbed.models import Testbed, TrashItem
from testbed.tasks import keep_house_once
from testbed.testbeds import files as service
from testbed.testbeds.files import create_testbed, delete_testbed
from testbed.testbeds.stored_files import list_files
from testbed.testbeds.trash import folders as graves
from testbed.testbeds.trash.folders import KEPT, MARK, TRASH, empty_trash, mark
from tests.testbed.confirming import agreed

FILES = {"kvm-compose.yaml": b"machines: []\n", "secret.txt": b"olive's\n"}


class Died(BaseException):
    """The process ends here."""


@pytest.fixture
def folders(settings: object, tmp_path: Path) -> Path:
    settings.TESTBEDS_DIR = tmp_path / "testbeds"
    return settings.TESTBEDS_DIR


@pytest.fixture
def lab(owner: User, folders: Path) -> Testbed:
    """A testbed with a state and a disk, not deployed."""
    testbed = create_testbed(owner, "lab", FILES)
    testbed.project.state_file.write_text("{}")
    (testbed.project.artefacts / "web-disk.qcow2").write_bytes(b"disk")
    return testbed


@pytest.fixture
def dying(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    """Lets a process die at a call: `dying.setattr(place, name, dies)`."""
    with monkeypatch.context() as patch:
        yield patch


def dies(*args: object, **options: object) -> None:
    raise Died


def left(folders: Path) -> set[str]:
    """The testbeds' folders, also those in the trash."""
    there = {path.name for path in folders.iterdir()} - {TRASH}
    return there | {f"trash: {path.name}" for path in (folders / TRASH).glob("*/*")}


def kept(folders: Path) -> list[str]:
    """The files that the trash keeps, of any testbed."""
    found = (folders / TRASH).glob(f"*/{KEPT}/*")
    return sorted(path.name for path in found)


@pytest.mark.parametrize(
    ("place", "call"),
    [
        (service, "throw_away"),
        (graves, "_grave"),
        (graves, "_settle"),
        (shutil, "rmtree"),
    ],
)
def test_deletion_that_dies_after_its_commit_is_finished_by_the_upkeep(
    lab: Testbed, folders: Path, dying: pytest.MonkeyPatch, place: object, call: str
):
    dying.setattr(place, call, dies)
    with pytest.raises(Died):
        agreed(delete_testbed, lab, lab.owner)
    dying.undo()
    assert not Testbed.objects.exists()
    assert left(folders) & {lab.slug, "trash: whole"}

    keep_house_once()

    assert left(folders) == {"trash: kept"}
    assert kept(folders) == sorted(FILES)


def test_deletion_that_dies_before_its_commit_leaves_the_testbed_whole(
    lab: Testbed, folders: Path, dying: pytest.MonkeyPatch
):
    dying.setattr(Testbed, "delete", dies)
    with pytest.raises(Died):
        agreed(delete_testbed, lab, lab.owner)
    dying.undo()
    assert (lab.directory / MARK).exists()

    assert empty_trash() == 0

    assert list(list_files(lab)) == ["kvm-compose.yaml", "secret.txt"]
    assert not (lab.directory / MARK).exists()


def test_lost_testbed_is_not_taken_for_a_deleted_one(lab: Testbed, folders: Path):
    Testbed.objects.all().delete()

    empty_trash()

    assert lab.project.yaml.exists()


@pytest.mark.parametrize("is_left_to_the_upkeep", [True, False])
def test_new_testbed_of_the_name_never_gets_the_old_ones_files(
    lab: Testbed,
    folders: Path,
    stranger: User,
    dying: pytest.MonkeyPatch,
    is_left_to_the_upkeep: bool,
):
    dying.setattr(service, "throw_away", dies)
    with pytest.raises(Died):
        agreed(delete_testbed, lab, lab.owner)
    dying.undo()
    if is_left_to_the_upkeep:
        empty_trash()

    new = create_testbed(stranger, "lab", {"kvm-compose.yaml": b"machines: []\n"})
    empty_trash()

    assert list(list_files(new)) == ["kvm-compose.yaml"]
    assert left(folders) == {new.slug, "trash: kept"}


def test_late_end_of_a_deletion_spares_the_new_testbed_of_the_name(
    lab: Testbed, folders: Path, stranger: User, dying: pytest.MonkeyPatch
):
    made: list[Testbed] = []

    def late(folder: Path) -> None:
        dying.undo()
        made.append(create_testbed(stranger, "lab", FILES))
        graves.throw_away(folder)

    dying.setattr(service, "throw_away", late)

    agreed(delete_testbed, lab, lab.owner)

    assert made[0].project.yaml.exists()
    assert left(folders) == {made[0].slug, "trash: kept"}


def test_creation_that_fails_leaves_no_folder_when_it_dies_on_its_way_out(
    owner: User, folders: Path, dying: pytest.MonkeyPatch
):
    clash = {**FILES, "a": b"x", "a/b": b"x"}
    dying.setattr(service, "throw_away", dies)
    with pytest.raises(Died):
        create_testbed(owner, "lab", clash)
    dying.undo()
    assert left(folders) == {"tb1"}

    empty_trash()

    assert left(folders) == set()


def test_folder_that_cannot_be_removed_now_is_tried_again(
    lab: Testbed, folders: Path, dying: pytest.MonkeyPatch
):
    dying.setattr(shutil, "rmtree", lambda path, ignore_errors: None)
    agreed(delete_testbed, lab, lab.owner)
    TrashItem.objects.all().delete()
    assert left(folders) == {"trash: whole", "trash: kept"}
    assert empty_trash() == 0
    dying.undo()

    assert empty_trash() == 1

    assert left(folders) == set()


def test_folder_that_cannot_be_moved_waits_for_the_upkeep(
    lab: Testbed, folders: Path, dying: pytest.MonkeyPatch
):
    def refused(*args: object, **options: object) -> None:
        raise PermissionError(13, "Permission denied")

    dying.setattr(graves, "_grave", refused)
    agreed(delete_testbed, lab, lab.owner)
    assert empty_trash() == 0
    new = create_testbed(lab.owner, "lab", FILES)
    dying.undo()
    assert left(folders) == {lab.slug, new.slug}

    empty_trash()

    assert left(folders) == {new.slug, "trash: kept"}


def test_folder_that_cannot_be_marked_keeps_its_testbed(
    lab: Testbed, folders: Path, monkeypatch: pytest.MonkeyPatch
):
    def full(path: Path, text: str) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)

    with pytest.raises(StateError, match="could not be marked"):
        agreed(delete_testbed, lab, lab.owner)

    assert Testbed.objects.filter(name="lab").exists()
    assert lab.project.yaml.exists()


def test_testbed_without_a_folder_can_be_deleted(lab: Testbed, folders: Path):
    shutil.rmtree(lab.directory)

    mark(lab.directory)
    agreed(delete_testbed, lab, lab.owner)

    assert not Testbed.objects.exists()


def test_worker_gives_what_it_makes_to_the_owner_of_the_folder(
    lab: Testbed, folders: Path, dying: pytest.MonkeyPatch
):
    given: list[Path] = []
    dying.setattr(graves, "give_to_owner_of", lambda folder, made: given.append(made))

    agreed(delete_testbed, lab, lab.owner)

    key = TrashItem.objects.get().key
    assert given == [folders / TRASH, folders / TRASH / key]


def test_mark_of_any_words_names_no_place_outside_the_trash(
    lab: Testbed, folders: Path
):
    Testbed.objects.all().delete()
    (lab.directory / MARK).write_text("../../outside")

    empty_trash()

    assert left(folders) == set()
    assert not (folders.parent / "outside").exists()
