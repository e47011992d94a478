"""A context is packed the same everywhere, and never from outside its root."""

import io
import tarfile

import pytest

from orchestration.errors import PathOutside
from orchestration.project import contexts
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


def test_folder_that_was_exchanged_for_a_link_is_not_followed(tmp_path, monkeypatch):
    root, secret = tmp_path / "root", tmp_path / "secret"
    (root / "context").mkdir(parents=True)
    secret.mkdir()
    (secret / "shadow").write_text("root only")
    resolve = contexts.resolve_inside

    def exchanged(folder, path):
        found = resolve(folder, path)
        (root / "context").rename(root / "former")
        (root / "context").symlink_to(secret)
        return found

    monkeypatch.setattr(contexts, "resolve_inside", exchanged)
    with pytest.raises(PathOutside, match="exchanged for a link"):
        context_archive(root / "context", root)


def test_file_that_was_exchanged_for_a_link_is_packed_as_one(tmp_path, monkeypatch):
    (tmp_path / "secret").write_text("root only")
    (tmp_path / "context").mkdir()
    (tmp_path / "context" / "a").write_text("a")
    listed = contexts.os.fwalk

    def exchanged(*words, **options):
        for found in listed(*words, **options):
            (tmp_path / "context" / "a").unlink()
            (tmp_path / "context" / "a").symlink_to(tmp_path / "secret")
            yield found

    monkeypatch.setattr(contexts.os, "fwalk", exchanged)
    packed = context_archive(tmp_path / "context", tmp_path)

    with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
        assert archive.getmember("a").issym()
