"""A folder shows what is in it and nothing else."""

import os
from pathlib import Path

import pytest

from orchestration.compose.files import HEAD_BYTES, AskedOnce, FolderFiles


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "testbed"
    (root / "context" / "deep").mkdir(parents=True)
    (root / "a.sh").write_bytes(b"#!/bin/sh\n" + b"x" * 1000)
    (root / "context" / "one").write_bytes(b"1" * 100)
    (root / "context" / "deep" / "two").write_bytes(b"2" * 50)
    (tmp_path / "secret").write_text("secret")
    (root / "link-out").symlink_to(tmp_path / "secret")
    (root / "link-in").symlink_to("a.sh")
    (root / "loop").symlink_to("loop")
    return root


@pytest.mark.parametrize(
    "path",
    [
        "../secret",
        "link-out",
        "/etc/passwd",
        "context/../../secret",
        "a\0b",
        "loop",
        "loop/below",
    ],
)
def test_outside_is_never_there(folder: Path, path: str) -> None:
    files = FolderFiles(folder)

    assert not files.inside(path)
    assert not files.exists(path)
    assert not files.is_file(path)
    assert not files.is_folder(path)
    assert files.size_bytes(path, at_most=100) == 0
    assert files.head(path) == b""


@pytest.mark.parametrize("path", ["x" * 300, "x/" * 3000])
def test_path_that_cannot_be_looked_up_is_not_there(folder: Path, path: str) -> None:
    assert not FolderFiles(folder).exists(path)


def test_inside_is_seen_also_through_a_link(folder: Path) -> None:
    files = FolderFiles(folder)

    assert files.is_file("a.sh")
    assert files.is_file("link-in")
    assert files.is_folder("context")
    assert not files.is_file("context")
    assert files.head("a.sh").startswith(b"#!/bin/sh\n")
    assert len(files.head("a.sh")) == HEAD_BYTES
    assert files.head("context") == b""


def test_size_of_a_folder_is_that_of_its_tar_file(folder: Path) -> None:
    files = FolderFiles(folder)

    assert files.size_bytes("context/one", at_most=10) == 100
    assert files.size_bytes("context", at_most=10_000) == 150 + 3 * 512


def test_pipe_is_no_file(folder: Path) -> None:
    os.mkfifo(folder / "pipe")

    files = FolderFiles(folder)

    assert files.exists("pipe")
    assert not files.is_file("pipe")
    assert files.head("pipe") == b""


def test_each_question_about_a_path_is_asked_once(folder: Path) -> None:
    asked: list[str] = []

    class Counted(FolderFiles):
        def exists(self, path: str) -> bool:
            asked.append(path)
            return super().exists(path)

    files = AskedOnce(Counted(folder))

    assert [files.exists(path) for path in ("a.sh", "none", "a.sh")] == [
        True,
        False,
        True,
    ]
    assert asked == ["a.sh", "none"]
    assert files.is_file("a.sh")
    assert files.head("a.sh").startswith(b"#!/bin/sh\n")
