"""Testbeds are created, changed and deleted, whatever was uploaded."""

import unicodedata
from pathlib import Path

import pytest
from django.contrib.auth.models import User
from django.db import IntegrityError

from orchestration.compose.reading.text import SIZE_LIMIT_BYTES
from orchestration.errors import PathOutside, StateError, TestbedBusy
from testbed.access.names import NameTaken
from testbed.models import Run, Testbed
from testbed.testbeds import files as service
from testbed.testbeds.files import (
    create_testbed,
    delete_file,
    delete_testbed,
    list_examples,
    read_example,
    update_files,
)
from testbed.testbeds.stored_files import list_files
from testbed.testbeds.uploads import MAX_FILES, UploadRefused
from tests.testbed.confirming import agreed

FILES = {"kvm-compose.yaml": b"machines: []\n", "scripts/a.sh": b"echo a\n"}


@pytest.fixture(autouse=True)
def folders(settings: object, tmp_path: Path) -> Path:
    settings.TESTBEDS_DIR = tmp_path / "testbeds"
    return settings.TESTBEDS_DIR


def test_files_are_written_below_the_testbeds_folder(owner: User, folders: Path):
    testbed = create_testbed(owner, "lab", FILES)

    root = folders / testbed.key / "files"
    assert (root / "kvm-compose.yaml").read_bytes() == b"machines: []\n"
    assert (root / "scripts/a.sh").read_bytes() == b"echo a\n"
    assert sorted(path.name for path in root.rglob("*")) == [
        "a.sh",
        "kvm-compose.yaml",
        "scripts",
    ]


def test_name_replaces_the_file_whose_name_has_another_form(owner: User, folders: Path):
    testbed = create_testbed(owner, "lab", FILES)
    decomposed = unicodedata.normalize("NFD", "é.sh")
    (folders / testbed.key / "files" / decomposed).write_text("old")

    update_files(testbed, {"é.sh": b"new"})
    agreed(delete_file, testbed, decomposed, owner)

    assert list(list_files(testbed)) == ["kvm-compose.yaml", "scripts/a.sh"]


def test_smallest_free_number_is_taken(owner: User):
    for number in (0, 1, 3):
        Testbed.objects.create(owner=owner, slug=f"t{number}", number=number)

    assert create_testbed(owner, "lab", FILES).number == 2


def test_number_that_was_taken_meanwhile_is_not_taken_twice(
    owner: User, monkeypatch: pytest.MonkeyPatch
):
    Testbed.objects.create(owner=owner, slug="quick", number=0)
    numbers = iter([0, 0, 5])
    monkeypatch.setattr(service, "_free_number", lambda: next(numbers))

    assert create_testbed(owner, "lab", FILES).number == 5


def test_name_of_ones_own_is_taken(owner: User):
    create_testbed(owner, "lab", FILES)

    with pytest.raises(NameTaken, match="already a testbed lab of olive"):
        create_testbed(owner, "lab", FILES)


def test_full_installation_says_so(owner: User, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(service, "NUMBER_LIMIT", 1)
    create_testbed(owner, "one", FILES)

    with pytest.raises(StateError, match="already 1 testbeds"):
        create_testbed(owner, "two", FILES)


@pytest.mark.parametrize(
    "path", ["../x", "/etc/x", "a/../../x", "a\\..\\x", "", "a\0b"]
)
def test_path_outside_creates_nothing(owner: User, folders: Path, path: str):
    with pytest.raises(PathOutside):
        create_testbed(owner, "lab", {**FILES, path: b"x"})

    assert not Testbed.objects.exists()
    assert not (folders / "lab").exists()


def test_clash_of_file_and_folder_leaves_nothing_behind(owner: User, folders: Path):
    with pytest.raises(PathOutside, match="a file in one place"):
        create_testbed(owner, "lab", {**FILES, "a": b"x", "a/b": b"x"})

    assert not Testbed.objects.exists()
    assert not (folders / "lab").exists()


def test_link_in_the_folder_is_not_followed_out(owner: User, tmp_path: Path):
    testbed = create_testbed(owner, "lab", FILES)
    (testbed.project.files / "out").symlink_to(tmp_path)

    with pytest.raises(PathOutside):
        update_files(testbed, {"out/x": b"x"})

    assert not (tmp_path / "x").exists()


def test_too_many_files_in_all_are_refused(owner: User):
    testbed = create_testbed(owner, "lab", FILES)

    with pytest.raises(UploadRefused, match="more than 500 files"):
        update_files(testbed, {f"f{n}": b"" for n in range(MAX_FILES)})

    assert len(list_files(testbed)) == 2


def test_files_are_listed_with_the_yaml_first(owner: User):
    testbed = create_testbed(owner, "lab", {"a.sh": b"12", **FILES})

    assert list(list_files(testbed).items()) == [
        ("kvm-compose.yaml", 13),
        ("a.sh", 2),
        ("scripts/a.sh", 7),
    ]


def test_file_is_deleted_but_never_the_yaml(owner: User):
    testbed = create_testbed(owner, "lab", FILES)

    agreed(delete_file, testbed, "scripts/a.sh", owner)
    with pytest.raises(StateError):
        agreed(delete_file, testbed, "./kvm-compose.yaml", owner)

    assert list(list_files(testbed)) == ["kvm-compose.yaml"]


def test_delete_removes_rows_and_folder(owner: User, folders: Path):
    testbed = create_testbed(owner, "lab", FILES)
    Run.objects.create(
        testbed=testbed, command="up", plan={}, asked_by=owner, status="failed"
    )

    agreed(delete_testbed, testbed, owner)

    assert not Testbed.objects.exists()
    assert not (folders / "lab").exists()


@pytest.mark.parametrize("condition", ["up", "partial"])
def test_deployed_testbed_is_not_deleted(owner: User, condition: str):
    testbed = create_testbed(owner, "lab", FILES)
    Testbed.objects.update(condition=condition)

    with pytest.raises(StateError, match="still there"):
        agreed(delete_testbed, testbed, owner)

    assert testbed.project.yaml.exists()


def test_testbed_with_a_run_is_not_deleted(owner: User):
    testbed = create_testbed(owner, "lab", FILES)
    Run.objects.create(testbed=testbed, command="down", plan={}, asked_by=owner)

    with pytest.raises(TestbedBusy, match="olive has been running down"):
        agreed(delete_testbed, testbed, owner)

    assert testbed.project.yaml.exists()


def test_every_example_can_be_created(owner: User):
    names = [example.name for example in list_examples()]

    created = [create_testbed(owner, name, read_example(name)) for name in names]

    assert "quickstart" in names
    assert all(testbed.project.yaml.is_file() for testbed in created)


def test_examples_that_come_up_are_offered_first_and_the_others_say_why_not():
    examples = list_examples()

    missing = [bool(example.missing) for example in examples]
    assert missing == sorted(missing)
    assert examples[0].name == "single"
    assert {e.name for e in examples if e.needs_disk} == {"existing-disk", "install"}
    found = {example.name: example for example in examples}
    assert "guest web (`docker`)" in found["container"].missing
    assert (found["clones"].missing, found["clones"].guests) == ("", 3)
    assert (found["routed"].bridges, found["routed"].switches) == (0, 3)


@pytest.mark.parametrize("name", ["nothing", "../examples/single", ""])
def test_unknown_example_is_refused(name: str):
    with pytest.raises(StateError, match="no example"):
        read_example(name)


def test_database_refuses_a_number_twice(owner: User):
    create_testbed(owner, "lab", FILES)

    with pytest.raises(IntegrityError):
        Testbed.objects.create(owner=owner, slug="other", number=0)


def test_yaml_that_is_never_parsed_is_not_taken(owner: User):
    huge = {"kvm-compose.yaml": b"\n" * (SIZE_LIMIT_BYTES + 1)}
    testbed = create_testbed(owner, "lab", FILES)

    with pytest.raises(
        UploadRefused, match=r"kvm-compose\.yaml has more than 1024 KiB"
    ):
        update_files(testbed, huge)
    with pytest.raises(
        UploadRefused, match=r"kvm-compose\.yaml has more than 1024 KiB"
    ):
        create_testbed(owner, "other", huge)

    assert testbed.project.yaml.read_bytes() == FILES["kvm-compose.yaml"]
