"""Digests of files are kept until the files change."""

import os
from hashlib import sha256
from pathlib import Path

from orchestration.project.digests import digest_of_open


def test_digest_of_an_open_file_is_of_what_was_opened(tmp_path: Path) -> None:
    path = tmp_path / "disk.img"
    path.write_bytes(b"old")
    with path.open("rb") as file:
        other = tmp_path / "other"
        other.write_bytes(b"new")
        other.replace(path)

        found = digest_of_open(file, path)

    assert found == sha256(b"old").hexdigest()


def test_open_file_is_not_read_again_until_it_changes(tmp_path: Path) -> None:
    path = tmp_path / "disk.img"
    path.write_bytes(b"old")
    with path.open("rb") as file:
        first = digest_of_open(file, path)
        read = os.lseek(file.fileno(), 0, os.SEEK_CUR)
        again = digest_of_open(file, path)

    assert (first, again, read) == (sha256(b"old").hexdigest(), first, 0)
    path.write_bytes(b"newer")
    with path.open("rb") as file:
        assert digest_of_open(file, path) == sha256(b"newer").hexdigest()
