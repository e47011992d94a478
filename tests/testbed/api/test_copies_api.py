"""Archives, other paths of files, and copies of testbeds, as programs make them."""

import io
import tarfile
import zipfile

import pytest
from django.contrib.auth.models import User

from testbed.models import Entry, Testbed
from tests.testbed.api.conftest import Ask, asker
from tests.testbed.conftest import YAML, ShareWith

ZIP = "application/zip"


def zipped(**files: bytes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return out.getvalue()


def tarred(files: dict[str, bytes], mode: str = "w:gz") -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode=mode) as archive:
        for name, content in files.items():
            about = tarfile.TarInfo(name)
            about.size = len(content)
            archive.addfile(about, io.BytesIO(content))
    return out.getvalue()


@pytest.fixture
def packed() -> bytes:
    """A folder that holds everything."""
    return tarred({"top/kvm-compose.yaml": YAML.encode(), "top/run.sh": b"true"})


def test_testbed_is_made_of_an_archive_once_with_a_key(ask: Ask, packed: bytes):
    how = {"kind": "application/gzip", "Idempotency_Key": "one"}

    answers = [ask("POST", "/archives?name=ring", packed, **how) for _ in range(2)]
    other = ask("POST", "/archives?name=second", packed, **how)

    assert [answer.status_code for answer in answers] == [201, 201]
    assert answers[1].headers["Idempotency-Replayed"] == "true"
    assert answers[0].headers["Location"] == "/api/v1/testbeds/olive/ring"
    assert other.status_code == 422  # another request with the same key
    ring = Testbed.objects.get(name="ring")
    assert ring.project.file("run.sh").read_bytes() == b"true"


def test_archive_without_a_yaml_leaves_no_testbed(ask: Ask, testbed: Testbed):
    answer = ask("POST", "/archives?name=ring", zipped(a=b"a"), kind=ZIP)

    assert answer.status_code == 422
    assert "kvm-compose.yaml" in answer.json()["detail"]
    assert Testbed.objects.count() == 1


@pytest.mark.parametrize("content", [b"no archive", b"\0" * 2000])
def test_bytes_that_are_no_archive_are_refused_with_a_hint(
    ask: Ask, testbed: Testbed, content: bytes
):
    answer = ask("POST", "/testbeds/olive/lab/archive", content, kind=ZIP)

    assert answer.status_code == 422
    assert "not an archive that can be read" in answer.json()["detail"]


def test_archive_adds_and_replaces_files_of_a_testbed(ask: Ask, testbed: Testbed):
    testbed.project.file("a.sh").write_text("old")
    content = zipped(**{"a.sh": b"new", "b/c.sh": b"c"})

    answer = ask("POST", "/testbeds/olive/lab/archive", content, kind=ZIP)

    assert answer.json() == {
        "items": [{"path": "a.sh", "size": 3}, {"path": "b/c.sh", "size": 1}]
    }
    assert testbed.project.file("a.sh").read_text() == "new"
    assert Entry.objects.first().what == "uploaded a.sh, b/c.sh"


def test_archive_leads_to_no_path_outside(ask: Ask, testbed: Testbed):
    content = tarred({"../../evil": b"x"}, "w:")

    answer = ask(
        "POST", "/testbeds/olive/lab/archive", content, kind="application/x-tar"
    )

    assert answer.status_code == 422
    assert list(testbed.project.files.iterdir()) == [testbed.project.yaml]


def test_file_gets_another_path_where_nothing_is(ask: Ask, testbed: Testbed):
    for name in ("a.sh", "b.sh"):
        testbed.project.file(name).write_text(name)
    place = "/testbeds/olive/lab/files/a.sh"

    taken = ask("PATCH", place, {"path": "b.sh"})
    outside = ask("PATCH", place, {"path": "../a.sh"})
    done = ask("PATCH", place, {"path": "c/d.sh"})

    assert [taken.status_code, outside.status_code] == [422, 422]
    assert done.json() == {"path": "c/d.sh"}
    assert testbed.project.file("c/d.sh").read_text() == "a.sh"
    assert testbed.project.file("b.sh").read_text() == "b.sh"


def test_copy_is_the_users_own_and_its_owner_is_not_asked_twice(
    testbed: Testbed, share: ShareWith
):
    viewer = share(testbed, "viewer")
    ask = asker(viewer, "edit")

    made = ask("POST", "/testbeds/olive/lab/copies", {"name": "mine"})
    again = ask("POST", "/testbeds/olive/lab/copies", {"name": "mine"})
    disks = ask("POST", "/testbeds/olive/lab/copies", {"name": "b", "disks": True})

    assert made.status_code == 201
    assert made.json()["testbed"] == "a-viewer/mine"
    assert again.status_code == 422
    assert disks.status_code == 403  # that saves the guests' disks


def test_copy_with_disks_needs_disks_and_leaves_nothing(ask: Ask, testbed: Testbed):
    answer = ask("POST", "/testbeds/olive/lab/copies", {"name": "b", "disks": True})

    assert answer.status_code == 422
    assert answer.json()["hint"] == "Copy it without the disks."
    assert Testbed.objects.count() == 1


def test_strangers_testbed_is_not_copied(testbed: Testbed, stranger: User):
    ask = asker(stranger, "edit", "manage")

    answer = ask("POST", "/testbeds/olive/lab/copies", {"name": "mine"})

    assert answer.status_code == 404
    assert not stranger.testbeds.exists()
