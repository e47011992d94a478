"""Seeds: the medium on which a guest finds its files, and the archive of its context.

The same files are the same seed wherever and whenever it is made, and nothing outside
the testbed's folder gets into one.
"""

import io
import tarfile

import pycdlib
import pytest

from orchestration.errors import ImageFailed, PathOutside
from orchestration.providers.guest import cloud_init


def test_seed_is_labelled_and_holds_the_files(tmp_path):
    (tmp_path / "big").write_bytes(b"tar" * 5000)
    files = {"meta-data": b"{}", "user-data": b"#cloud-config\n{}"}
    target = tmp_path / "seed.iso"

    cloud_init.write_seed(target, files | {"context.tar": tmp_path / "big"})

    iso = pycdlib.PyCdlib()
    iso.open(str(target))
    label = iso.pvd.volume_identifier.decode().strip()
    found = {}
    for name in ("meta-data", "user-data", "context.tar"):
        by_rock_ridge, by_joliet = io.BytesIO(), io.BytesIO()
        iso.get_file_from_iso_fp(by_rock_ridge, rr_path=f"/{name}")
        iso.get_file_from_iso_fp(by_joliet, joliet_path=f"/{name}")
        assert by_rock_ridge.getvalue() == by_joliet.getvalue()
        found[name] = by_joliet.getvalue()
    iso.close()
    assert label == "cidata"
    assert found == files | {"context.tar": b"tar" * 5000}
    assert sorted(p.name for p in tmp_path.iterdir()) == ["big", "seed.iso"]


def test_seed_that_cannot_be_written_leaves_nothing(tmp_path):
    with pytest.raises(ImageFailed, match=r"seed\.iso could not be written"):
        cloud_init.write_seed(tmp_path / "none" / "seed.iso", {"meta-data": b""})
    with pytest.raises(ImageFailed):
        cloud_init.write_seed(tmp_path / "seed.iso", {"x": tmp_path / "missing"})
    assert list(tmp_path.iterdir()) == []


def test_seed_digest_knows_names_and_contents(tmp_path):
    (tmp_path / "f").write_bytes(b"1")

    digests = {
        cloud_init.seed_digest(files)
        for files in ({"a": b"1"}, {"b": b"1"}, {"a": b"2"}, {"a": b"1", "b": b""})
    }

    assert len(digests) == 4
    assert cloud_init.seed_digest({"a": tmp_path / "f"}) in digests


def test_context_is_the_same_archive_wherever_and_whenever(tmp_path):
    for root in (tmp_path / "one", tmp_path / "two"):
        (root / "files" / "sub").mkdir(parents=True)
        (root / "files" / "sub" / "run.sh").write_text("#!/bin/sh\n")
        (root / "files" / "sub" / "run.sh").chmod(0o775)
        (root / "files" / "a").write_text("a")
        (root / "files" / "link").symlink_to("/etc/shadow")
        (root / "files" / "up").symlink_to("sub")

    one, two = (
        cloud_init.context_archive(tmp_path / name / "files", tmp_path / name)
        for name in ("one", "two")
    )

    assert one == two
    with tarfile.open(fileobj=io.BytesIO(one)) as archive:
        members = {member.name: member for member in archive}
    assert sorted(members) == ["a", "link", "sub", "sub/run.sh", "up"]
    assert members["sub/run.sh"].mode == 0o755
    assert (members["link"].issym(), members["up"].issym()) == (True, True)
    assert {(m.uid, m.gid, m.mtime) for m in members.values()} == {(0, 0, 946684800)}


def test_context_may_be_one_file(tmp_path):
    (tmp_path / "only.txt").write_text("x")

    packed = cloud_init.context_archive(tmp_path / "only.txt", tmp_path)

    with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
        assert archive.extractfile("only.txt").read() == b"x"


def test_context_does_not_leave_its_root(tmp_path):
    root = tmp_path / "root"
    root.mkdir()
    (tmp_path / "secret").write_text("x")
    (root / "sneaky").symlink_to(tmp_path / "secret")

    for source in (root / "sneaky", root / ".." / "secret", tmp_path):
        with pytest.raises(PathOutside):
            cloud_init.context_archive(source, root)
