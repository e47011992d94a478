"""The sums of users' files are kept, corrected, and reserved before anything is written."""

import threading
from contextlib import suppress
from pathlib import Path
from shutil import rmtree

import pytest
from django.contrib.auth.models import User
from django.db import connection

from orchestration.errors import PathOutside
from testbed.access.limits import LimitReached
from testbed.api.problems import status_of
from testbed.models import Testbed
from testbed.testbeds import stored_files
from testbed.testbeds.files import create_testbed, delete_file, update_files
from testbed.testbeds.stored_files import (
    UNCOUNTED,
    TooManyDigests,
    count_all_again,
    digesting,
    files_bytes,
    files_bytes_of,
    list_files,
)
from tests.testbed.confirming import agreed

MIB = 1024 * 1024
YAML = {"kvm-compose.yaml": b"machines: []\n"}


@pytest.fixture(autouse=True)
def one_mib(settings: object, tmp_path: Path) -> None:
    settings.TESTBEDS_DIR = tmp_path / "testbeds"
    limits = {"testbeds": 5, "testbed_mib": 9, "user_mib": 1}
    settings.USER_LIMITS = {**settings.USER_LIMITS, **limits}


def test_sum_follows_what_is_added_replaced_and_deleted(owner: User):
    testbed = create_testbed(owner, "lab", YAML)

    update_files(testbed, {"a": bytes(100), "b": bytes(50)})
    update_files(testbed, {"a": bytes(30)})
    agreed(delete_file, testbed, "b", owner)

    assert files_bytes(testbed) == sum(list_files(testbed).values()) == 13 + 30


def test_file_that_cannot_be_written_is_not_in_the_sum(owner: User):
    testbed = create_testbed(owner, "lab", {**YAML, "a": b"x"})

    with pytest.raises(PathOutside):
        update_files(testbed, {"a/b": bytes(100)})

    assert files_bytes(testbed) == 14


def test_upload_walks_no_other_testbed_of_its_owner(owner: User):
    other = create_testbed(owner, "other", {**YAML, "a": bytes(MIB - 200)})
    testbed = create_testbed(owner, "lab", YAML)
    rmtree(other.project.files)

    with pytest.raises(LimitReached, match="all testbeds of olive"):
        update_files(testbed, {"a": bytes(500)})

    assert count_all_again() == 1
    update_files(testbed, {"a": bytes(500)})


def test_content_that_a_fetch_moves_to_the_trash_counts(owner: User):
    testbed = create_testbed(owner, "lab", {**YAML, "a": bytes(400 * 1024)})

    update_files(testbed, {"a": b"1" * 400 * 1024}, to_trash=["a"])
    with pytest.raises(LimitReached, match="all testbeds of olive"):
        update_files(testbed, {"a": b"2" * 400 * 1024}, to_trash=["a"])

    assert files_bytes_of(owner) == 13 + 800 * 1024
    assert testbed.project.file("a").read_bytes()[:1] == b"1"


def test_testbed_of_an_earlier_version_is_counted_once(owner: User):
    testbed = create_testbed(owner, "lab", {**YAML, "a": bytes(100)})
    Testbed.objects.update(files_bytes=None)

    assert files_bytes_of(owner) == 113
    testbed.refresh_from_db()
    assert testbed.files_bytes == 113


def test_links_are_neither_listed_nor_followed(owner: User, tmp_path: Path):
    testbed = create_testbed(owner, "lab", YAML)
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/file").write_bytes(b"x")
    (testbed.project.files / "folder").symlink_to(tmp_path / "outside")
    (testbed.project.files / "file").symlink_to(tmp_path / "outside/file")

    assert list(list_files(testbed)) == ["kvm-compose.yaml"]


@pytest.mark.django_db(transaction=True)
def test_of_two_simultaneous_uploads_one_passes(
    owner: User, monkeypatch: pytest.MonkeyPatch
):
    testbeds = [create_testbed(owner, slug, YAML) for slug in ("one", "two")]
    both_compare, refused = threading.Barrier(2), []
    real = stored_files.require_files

    def compare(user: User, **sums: int) -> None:
        with suppress(threading.BrokenBarrierError):  # the other waits, as it must
            both_compare.wait(timeout=1)
        real(user, **sums)

    monkeypatch.setattr(stored_files, "require_files", compare)

    def upload(testbed: Testbed) -> None:
        try:
            update_files(testbed, {"a": bytes(700 * 1024)})
        except LimitReached as exc:
            refused.append(exc)
        connection.close()

    threads = [threading.Thread(target=upload, args=(one,)) for one in testbeds]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(refused) == 1
    assert files_bytes_of(owner) < MIB


def test_large_files_of_a_user_are_digested_two_at_a_time(owner: User, admin: User):
    large = UNCOUNTED + 1

    with digesting(owner, large), digesting(owner, large):
        with digesting(admin, large), digesting(owner, UNCOUNTED):
            pass
        with pytest.raises(TooManyDigests) as refused, digesting(owner, large):
            pass

    assert status_of(refused.value) == 429
    with digesting(owner, large):
        pass
