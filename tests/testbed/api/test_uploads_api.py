"""Uploads in parts: begun, gone on with, ended, and attacked."""

import base64
import errno
import os
import threading
from collections.abc import Iterator
from datetime import timedelta
from hashlib import sha256
from itertools import chain, repeat

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.http import HttpResponse
from django.utils import timezone

from orchestration.compose.reading.text import SIZE_LIMIT_BYTES
from orchestration.locks import held
from testbed.access.limits import LimitReached
from testbed.api.problems import status_of
from testbed.models import Allowance, Entry, Share, Testbed, Upload
from testbed.sharing.shares import take_away
from testbed.testbeds.files import create_testbed
from testbed.testbeds.resumable.receiving import (
    MOST_OPEN,
    DiskFull,
    PartTooLong,
    UploadEnded,
    part_of,
    receive,
)
from testbed.testbeds.resumable.sweeping import forget_old_uploads
from testbed.testbeds.stored_files import files_bytes_of
from tests.testbed.api.conftest import ALL, Ask, asker
from tests.testbed.api.test_problems import said
from tests.testbed.conftest import ShareWith

UPLOADS = "/testbeds/olive/lab/uploads"
PART = "application/offset+octet-stream"
DISK = b"disk image" * 100


def metadata(**words: str) -> str:
    """Return words as tus sends them."""
    return ",".join(
        f"{name} {base64.b64encode(word.encode()).decode()}"
        for name, word in words.items()
    )


def begun(ask: Ask, size: int = len(DISK), **words: str) -> HttpResponse:
    about = metadata(**{"path": "disks/a.img", **words})
    return ask("POST", UPLOADS, Upload_Length=str(size), Upload_Metadata=about)


def part(ask: Ask, place: str, offset: int, content: bytes) -> HttpResponse:
    how = {"Content_Type": PART, "Upload_Offset": str(offset)}
    return ask("PATCH", place, content, kind=PART, **how)


def test_file_arrives_in_parts_and_is_in_its_place_at_the_end(
    ask: Ask, testbed: Testbed
):
    made = begun(ask, sha256=sha256(DISK).hexdigest())
    place = made.headers["Location"]

    first = part(ask, place, 0, DISK[:300])
    asked = ask("HEAD", place)
    listed = ask("GET", "/uploads").json()["items"]
    last = part(ask, place, 300, DISK[300:])

    assert (made.status_code, first.status_code, last.status_code) == (201, 204, 204)
    assert asked.headers["Upload-Offset"] == "300"
    assert asked.headers["Upload-Length"] == str(len(DISK))
    assert "no-store" in asked.headers["Cache-Control"]
    assert asked.headers["Upload-Expires"].endswith("GMT")
    assert [(one["path"], one["offset"]) for one in listed] == [("disks/a.img", 300)]
    assert last.headers["ETag"] == f'"{sha256(DISK).hexdigest()}"'
    file = testbed.project.file("disks/a.img")
    assert (file.read_bytes(), file.stat().st_mode & 0o777) == (DISK, 0o600)
    testbed.refresh_from_db()
    assert testbed.files_bytes == len(DISK) + testbed.project.yaml.stat().st_size
    assert Entry.objects.first().what == "uploaded disks/a.img"
    assert ask("HEAD", place).status_code == 404
    assert list(testbed.directory.joinpath("uploads").iterdir()) == []


def test_tus_client_learns_the_version_and_another_is_refused(
    ask: Ask, testbed: Testbed
):
    about = ask("OPTIONS", "/uploads", Tus_Resumable="1.0.0")
    other = ask("POST", UPLOADS, Tus_Resumable="0.2.2", Upload_Length="1")

    assert about.headers["Tus-Extension"] == "creation,expiration,termination"
    assert about.headers["Tus-Max-Size"] == str(512 * 1024**2)
    assert about.headers["Tus-Resumable"] == "1.0.0"
    assert (other.status_code, other.headers["Tus-Version"]) == (412, "1.0.0")
    assert not Upload.objects.exists()


def test_empty_file_is_there_at_once(ask: Ask, testbed: Testbed):
    answer = begun(ask, 0, path="empty")

    assert answer.headers["ETag"] == f'"{sha256(b"").hexdigest()}"'
    assert testbed.project.file("empty").read_bytes() == b""
    assert not Upload.objects.exists()


def test_wrong_digest_leaves_nothing(ask: Ask, testbed: Testbed):
    place = begun(ask, sha256="0" * 64).headers["Location"]

    answer = part(ask, place, 0, DISK)

    assert answer.status_code == 422
    assert sha256(DISK).hexdigest() in answer.json()["detail"]
    assert not testbed.project.file("disks/a.img").exists()
    assert not Upload.objects.exists()
    assert list(testbed.directory.joinpath("uploads").iterdir()) == []


def test_part_at_another_offset_changes_nothing(ask: Ask, testbed: Testbed):
    place = begun(ask).headers["Location"]
    part(ask, place, 0, DISK[:300])

    again = part(ask, place, 0, DISK[:300])
    beyond = part(ask, place, 400, DISK[400:])
    long = part(ask, place, 300, DISK)

    assert [one.status_code for one in (again, beyond, long)] == [409, 409, 413]
    assert part_of(Upload.objects.get()).read_bytes() == DISK[:300]


def test_bytes_of_a_part_that_was_not_noted_are_written_over(
    ask: Ask, testbed: Testbed
):
    place = begun(ask).headers["Location"]
    part(ask, place, 0, DISK[:300])
    with part_of(Upload.objects.get()).open("ab") as file:
        file.write(b"of a crash" * 500)

    part(ask, place, 300, DISK[300:])

    assert testbed.project.file("disks/a.img").read_bytes() == DISK


def test_part_beside_another_one_is_told_to_wait(ask: Ask, testbed: Testbed):
    place = begun(ask).headers["Location"]

    with held(part_of(Upload.objects.get())):
        answer = part(ask, place, 0, DISK)

    assert answer.status_code == 423
    assert part(ask, place, 0, DISK).status_code == 204


@pytest.mark.parametrize("old", [b"old", b"longer than text" * 50_000])
def test_file_that_is_there_is_replaced_by_its_tag_alone(
    ask: Ask, testbed: Testbed, old: bytes
):
    testbed.project.file("disks").mkdir()
    testbed.project.file("disks/a.img").write_bytes(old)
    tag = sha256(old).hexdigest()

    refused = begun(ask)
    stale = begun(ask, replaces="0" * 64)
    place = begun(ask, replaces=f'"{tag}"').headers["Location"]
    done = part(ask, place, 0, DISK)

    assert said(refused, 412)["detail"] == "There is already a file disks/a.img."
    assert stale.status_code == 412
    assert done.status_code == 204
    assert testbed.project.file("disks/a.img").read_bytes() == DISK


@pytest.mark.parametrize(("there", "wanted"), [("a/b", "a"), ("a", "a/b")])
def test_upload_to_a_place_of_another_sort_is_refused_at_its_begin(
    ask: Ask, testbed: Testbed, there: str, wanted: str
):
    ask("PUT", f"/testbeds/olive/lab/files/{there}", b"x", If_None_Match="*")

    refused = begun(ask, path=wanted)

    detail = "'a' is a file in one place and a folder in another."
    assert said(refused, 422)["detail"] == detail


def test_file_that_appears_meanwhile_is_kept_and_so_is_the_upload(
    ask: Ask, testbed: Testbed
):
    place = begun(ask).headers["Location"]
    testbed.project.file("disks").mkdir()
    theirs = testbed.project.file("disks/a.img")
    theirs.write_bytes(b"theirs")

    refused = part(ask, place, 0, DISK)
    kept = theirs.read_bytes()
    waits = ask("HEAD", place).headers["Upload-Offset"]
    theirs.unlink()
    done = part(ask, place, len(DISK), b"")

    assert (refused.status_code, kept) == (412, b"theirs")
    assert (waits, done.status_code) == (str(len(DISK)), 204)
    assert ask("HEAD", place).status_code == 404
    assert theirs.read_bytes() == DISK


@pytest.mark.parametrize(
    "path",
    [
        "../evil",
        "/etc/passwd",
        "",
        ".",
        "a\0b",
        "a\\b",
        "x" * 300,
        "a/" * 2000 + "b",
        "kvm-compose.yaml/x",
        "disks/../../x",
    ],
)
def test_path_that_cannot_be_is_refused_and_nothing_is_written(
    ask: Ask, testbed: Testbed, path: str
):
    answer = begun(ask, path=path)
    place = answer.headers.get("Location")
    end = part(ask, place, 0, DISK) if place else answer

    assert end.status_code in (400, 412, 422)
    assert end.json()["detail"]
    assert [one.name for one in testbed.project.files.iterdir()] == ["kvm-compose.yaml"]


@pytest.mark.parametrize(
    ("length", "about"),
    [
        ("-1", ""),
        ("1e3", ""),
        ("9" * 19, ""),
        ("", ""),
        ("5", "path !!!"),
        ("5", "path /////w=="),
        ("5", "path " + "A" * 9000),
        ("5", metadata(path="a", sha256="xyz")),
        ("5", metadata(path="a", replaces="*x")),
    ],
)
def test_announcement_that_cannot_be_read_is_refused(
    ask: Ask, testbed: Testbed, length: str, about: str
):
    answer = ask("POST", UPLOADS, Upload_Length=length, Upload_Metadata=about)

    assert answer.status_code == 400
    assert not Upload.objects.exists()


def test_parts_need_a_number_and_their_content_type(ask: Ask, testbed: Testbed):
    place = begun(ask).headers["Location"]

    kind = ask("PATCH", place, DISK, kind="text/plain", Upload_Offset="0")
    number = part(ask, place, -1, DISK)
    huge = ask("PATCH", place, DISK, kind=PART, Upload_Offset="9" * 30)

    assert [one.status_code for one in (kind, number, huge)] == [415, 400, 400]


def test_upload_of_another_user_is_not_there(
    ask: Ask, testbed: Testbed, stranger: User, admin: User, share: ShareWith
):
    place = begun(ask).headers["Location"]

    for user in (stranger, admin, share(testbed, "editor")):
        other = asker(user, "edit", "manage", "admin")
        answers = [
            other("HEAD", place),
            part(other, place, 0, DISK),
            other("DELETE", place),
        ]
        assert [answer.status_code for answer in answers] == [404] * 3
        assert other("GET", "/uploads").json() == {"items": []}
    assert Upload.objects.get().offset == 0


def test_permission_is_asked_again_at_each_part(testbed: Testbed, share: ShareWith):
    ask = asker(share(testbed, "editor"), "edit")
    place = begun(ask).headers["Location"]
    part(ask, place, 0, DISK[:300])

    Share.objects.update(role="viewer")
    as_viewer = part(ask, place, 300, DISK[300:])
    Share.objects.all().delete()
    as_stranger = part(ask, place, 300, DISK[300:])

    assert (as_viewer.status_code, as_stranger.status_code) == (403, 404)
    assert not testbed.project.file("disks/a.img").exists()


def test_token_without_the_scope_sends_no_part(ask: Ask, owner: User, testbed: Testbed):
    place = begun(ask).headers["Location"]
    reader = asker(owner, "run", "manage")

    assert part(reader, place, 0, DISK).status_code == 403
    assert reader("DELETE", place).status_code == 403


def test_announced_bytes_count_against_the_owners_limits(
    ask: Ask, owner: User, testbed: Testbed
):
    Allowance.objects.create(user=owner, testbed_mib=2, user_mib=3)
    large = 1024**2 + 512 * 1024

    first, second = begun(ask, large), begun(ask, large, path="b.img")
    ask("DELETE", first.headers["Location"])
    third = begun(ask, large, path="b.img")

    assert [one.status_code for one in (first, second, third)] == [201, 422, 201]
    assert "are allowed" in second.json()["detail"]


def test_announced_bytes_count_for_files_saved_in_other_ways(
    ask: Ask, owner: User, testbed: Testbed
):
    Allowance.objects.create(user=owner, testbed_mib=2, user_mib=3)
    large = bytes(1024**2 + 512 * 1024)
    put = {"kind": "application/octet-stream", "If_None_Match": "*"}
    begun(ask, len(large))

    refused = ask("PUT", "/testbeds/olive/lab/files/b.img", large, **put)
    with pytest.raises(LimitReached):
        create_testbed(
            owner, "other", {"kvm-compose.yaml": b"", "b": large, "c": large}
        )
    whole = part(ask, f"/uploads/{Upload.objects.get().key}", 0, large)

    assert (refused.status_code, whole.status_code) == (422, 204)
    assert files_bytes_of(owner) == len(large) + testbed.project.yaml.stat().st_size


def test_owner_lists_and_ends_the_uploads_of_others(
    ask: Ask, testbed: Testbed, share: ShareWith
):
    editor = share(testbed, "editor")
    place = begun(asker(editor, "edit")).headers["Location"]

    listed = ask("GET", "/uploads").json()["items"]
    offset = ask("HEAD", place)
    ended = ask("DELETE", place)

    assert [(one["user"], one["path"]) for one in listed] == [
        (editor.username, "disks/a.img")
    ]
    assert (offset.status_code, ended.status_code) == (404, 204)
    assert not Upload.objects.exists()


def test_upload_ends_with_the_share_that_it_was_sent_by(
    ask: Ask, owner: User, testbed: Testbed, share: ShareWith
):
    begun(ask, path="own.img")
    other = asker(share(testbed, "editor"), "edit")
    place = begun(other).headers["Location"]
    part(other, place, 0, DISK[:300])
    gone = part_of(Upload.objects.get(path="disks/a.img"))

    take_away(Share.objects.get(), owner)

    assert Upload.objects.get().path == "own.img"
    assert not gone.exists()


def test_number_of_open_uploads_is_bounded(ask: Ask, testbed: Testbed):
    answers = [begun(ask, 1, path=f"{number}") for number in range(MOST_OPEN + 1)]

    assert {answer.status_code for answer in answers[:-1]} == {201}
    assert "open uploads" in answers[-1].json()["detail"]


def test_part_is_written_piece_by_piece_and_bounded(ask: Ask, testbed: Testbed):
    """An endless body is left at the announced size."""
    begun(ask, 1000)
    taken = []

    def endless() -> object:
        for piece in chain([b"x" * 600], repeat(b"y" * 600)):
            taken.append(len(piece))
            yield piece

    with pytest.raises(PartTooLong):
        receive(Upload.objects.get(), 0, endless())

    assert taken == [600, 600]
    assert part_of(Upload.objects.get()).stat().st_size == 0


def test_upload_that_expired_is_removed_and_others_stay(ask: Ask, testbed: Testbed):
    old, new = begun(ask), begun(ask, path="b.img")
    part(ask, old.headers["Location"], 0, DISK[:10])
    row = Upload.objects.first()
    Upload.objects.filter(pk=row.pk).update(expires_at=timezone.now())
    lost = part_of(row).with_name("0" * 32)
    lost.write_bytes(b"of a crash")
    long_ago = (timezone.now() - timedelta(days=3)).timestamp()
    os.utime(lost, (long_ago, long_ago))

    assert forget_old_uploads() == 2

    assert ask("HEAD", old.headers["Location"]).status_code == 404
    assert ask("HEAD", new.headers["Location"]).status_code == 200
    assert not part_of(row).exists()
    assert not lost.exists()
    assert forget_old_uploads() == 0


def test_upload_is_not_swept_while_a_part_comes(ask: Ask, testbed: Testbed):
    begun(ask)
    Upload.objects.update(expires_at=timezone.now())

    with held(part_of(Upload.objects.get())):
        assert forget_old_uploads() == 0

    assert Upload.objects.exists()


def test_uploads_end_with_their_testbed(ask: Ask, testbed: Testbed):
    place = begun(ask).headers["Location"]
    part(ask, place, 0, DISK[:10])

    assert ask("DELETE", "/testbeds/olive/lab").status_code in (200, 428)
    token = ask("DELETE", "/testbeds/olive/lab").json().get("erases", {}).get("confirm")
    if token:
        ask("DELETE", f"/testbeds/olive/lab?confirm={token}")

    assert not Upload.objects.exists()
    assert part(ask, place, 10, DISK[10:]).status_code == 404


@pytest.mark.django_db(transaction=True)
def test_of_two_saves_at_once_with_one_tag_one_is_refused(
    ask: Ask, testbed: Testbed, owner: User
):
    """A save in parts and one at once, both of the same file as it was."""
    file = testbed.project.file("a.img")
    file.write_bytes(b"old")
    tag = sha256(b"old").hexdigest()
    place = begun(ask, path="a.img", replaces=tag).headers["Location"]
    other = asker(owner, "edit")
    answers: list[int] = []
    barrier = threading.Barrier(2)

    def whole() -> None:
        barrier.wait()
        put = other(
            "PUT",
            "/testbeds/olive/lab/files/a.img",
            b"whole",
            kind="application/octet-stream",
            If_Match=f'"{tag}"',
        )
        answers.append(put.status_code)
        connection.close()

    thread = threading.Thread(target=whole)
    thread.start()
    barrier.wait()
    answers.append(part(ask, place, 0, DISK).status_code)
    thread.join()

    assert sorted(answers) in ([200, 412], [204, 412])
    assert file.read_bytes() in (b"whole", DISK)


def test_yaml_that_is_never_parsed_is_not_taken_in_parts(ask: Ask, testbed: Testbed):
    yaml = testbed.project.yaml.read_bytes()
    large = SIZE_LIMIT_BYTES + 1

    refused = begun(ask, large, path="./kvm-compose.yaml", replaces="*")
    place = begun(ask, large).headers["Location"]
    Upload.objects.update(path="kvm-compose.yaml", seen="*")
    late = part(ask, place, 0, b"\n" * large)

    assert (refused.status_code, late.status_code) == (422, 422)
    assert testbed.project.yaml.read_bytes() == yaml


def test_part_that_another_request_moved_is_not_made_anew_of_zeros(
    ask: Ask, testbed: Testbed
):
    """As between the last part's rename and the end of its row, or behind a crash."""
    testbed.project.file("a.img").write_bytes(b"old")
    place = begun(ask, path="a.img", replaces="*").headers["Location"]
    row = receive(Upload.objects.get(), 0, [DISK])
    part_of(row).replace(testbed.project.file("a.img"))

    answer = part(ask, place, len(DISK), b"")

    assert answer.status_code == 410
    assert testbed.project.file("a.img").read_bytes() == DISK
    assert not Upload.objects.exists()
    assert not part_of(row).exists()


def test_upload_is_not_ended_while_a_part_comes(ask: Ask, testbed: Testbed):
    place = begun(ask).headers["Location"]

    with held(part_of(Upload.objects.get())):
        busy = ask("DELETE", place)
    ended = ask("DELETE", place)

    assert (busy.status_code, ended.status_code) == (423, 204)
    assert ask("HEAD", place).status_code == 404


def test_part_to_an_upload_whose_row_goes_meanwhile_is_refused(
    ask: Ask, testbed: Testbed
):
    begun(ask)
    row = Upload.objects.get()

    def pieces() -> Iterator[bytes]:
        yield DISK[:300]
        Upload.objects.all().delete()

    with pytest.raises(UploadEnded):
        receive(row, 0, pieces())

    assert not part_of(row).exists()


def test_full_disk_keeps_the_parts_before(ask: Ask, testbed: Testbed):
    begun(ask)
    row = receive(Upload.objects.get(), 0, [DISK[:300]])

    def pieces() -> Iterator[bytes]:
        yield DISK[300:600]
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(DiskFull) as refused:
        receive(row, 300, pieces())

    assert status_of(refused.value) == 507
    assert refused.value.hint
    assert part_of(row).read_bytes() == DISK[:300]
    assert receive(row, 300, [DISK[300:]]).offset == len(DISK)


@pytest.mark.parametrize("by_group", [False, True])
def test_upload_of_an_editor_who_becomes_a_viewer_ends(
    ask: Ask, share: ShareWith, testbed: Testbed, by_group: bool
):
    begun(asker(share(testbed, "editor", by_group=by_group), "edit"))
    given = Share.objects.get()

    changed = ask("PATCH", f"/testbeds/olive/lab/shares/{given.pk}", {"role": "viewer"})

    assert changed.status_code == 200
    assert not Upload.objects.exists()


@pytest.mark.parametrize("way", ["member", "group"])
def test_upload_by_a_group_ends_with_the_group(
    admin: User, share: ShareWith, testbed: Testbed, way: str
):
    editor = share(testbed, "editor", by_group=True)
    begun(asker(editor, "edit"))
    group = Share.objects.get().group
    end = f"/groups/{group.pk}"
    if way == "member":
        end += f"/members/{editor.username}"

    ended = asker(admin, *ALL)("DELETE", end)

    assert ended.status_code in (200, 204)
    assert not Upload.objects.exists()
