"""A context is packed the same everywhere, and never from outside its root."""

import io
import tarfile

import pytest

from orchestration.errors import PathOutside
from orchestration.project.contexts import context_archive


def test_context_is_the_same_archive_wherever_and_whenever(tmp_path):
    for root in (tmp_path / "one", tmp_path / "two"):
        (root / "files" / "sub").mkdir(parents=True)
        (root / "files" / "sub" / "run.sh").write_text("#!/bin/sh\n")
        (root / "files" / "sub" / "run.sh").chmod(0o775)
        (root / "files" / "a").write_text("a")
        (root / "files" / "a").chmod(0o600)
        (root / "files" / "link").symlink_to("/etc/shadow")
        (root / "files" / "up").symlink_to("sub")

    one, two = (
        context_archive(tmp_path / name / "files", tmp_path / name)
        for name in ("one", "two")
    )

    assert one == two
    with tarfile.open(fileobj=io.BytesIO(one)) as archive:
        members = {member.name: member for member in archive}
    assert sorted(members) == ["a", "link", "sub", "sub/run.sh", "up"]
    assert members["sub/run.sh"].mode == 0o755
    assert members["a"].mode == 0o644  # so that every user of the guest reads it
    assert (members["link"].issym(), members["up"].issym()) == (True, True)
    assert {(m.uid, m.gid, m.mtime) for m in members.values()} == {(0, 0, 946684800)}


def test_context_may_be_one_file(tmp_path):
    (tmp_path / "only.txt").write_text("x")

    packed = context_archive(tmp_path / "only.txt", tmp_path)

    with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
        assert archive.extractfile("only.txt").read() == b"x"


def test_context_does_not_leave_its_root(tmp_path):
    root = tmp_path / "root"
    root.mkdir()
    (tmp_path / "secret").write_text("x")
    (root / "sneaky").symlink_to(tmp_path / "secret")
    (root / "loop").symlink_to("loop")

    for source in (root / "sneaky", root / "loop", root / ".." / "secret", tmp_path):
        with pytest.raises(PathOutside):
            context_archive(source, root)
