"""The files of a folder: nothing of Git, nothing that is ignored, nothing outside."""

import os
from errno import EACCES
from hashlib import sha256
from pathlib import Path

import pytest

from orchestration.errors import TestbedError
from testbed.client.sync import local
from testbed.client.sync.local import content, ignored_in, read_local


def write(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)


def test_files_are_digested_by_their_paths(tmp_path: Path) -> None:
    write(tmp_path, "kvm-compose.yaml", "scripts/web.sh")

    digests = read_local(tmp_path).digests

    assert digests == {
        name: sha256(name.encode()).hexdigest()
        for name in ("kvm-compose.yaml", "scripts/web.sh")
    }


def test_ignored_files_and_the_clients_own_are_left_out(tmp_path: Path) -> None:
    write(tmp_path, "a", "b.log", "logs/x", "keep/b.log", ".git/HEAD", ".testbed/t")
    (tmp_path / ".testbedignore").write_text("# logs\n*.log\n!keep/b.log\nlogs/\n")

    assert sorted(read_local(tmp_path).digests) == ["a", "keep/b.log"]


def test_links_are_not_followed_and_are_named(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    write(outside, "secret")
    folder = tmp_path / "lab"
    write(folder, "a")
    (folder / "file").symlink_to(outside / "secret")
    (folder / "folder").symlink_to(outside)

    found = read_local(folder)

    assert sorted(found.digests) == ["a"]
    assert found.left_out == ("file", "folder")


def test_names_are_sent_as_keyboards_type_them(tmp_path: Path) -> None:
    write(tmp_path, "cafe\u0301.sh")

    assert list(read_local(tmp_path).digests) == ["caf\u00e9.sh"]


def test_names_to_ignore_that_are_no_text_are_refused(tmp_path: Path) -> None:
    (tmp_path / ".testbedignore").write_bytes(b"caf\xe9\n")

    with pytest.raises(TestbedError, match=r"\.testbedignore is no text in UTF-8"):
        read_local(tmp_path)


def test_file_with_a_name_that_cannot_be_sent_is_named(tmp_path: Path) -> None:
    Path(os.fsdecode(os.fsencode(tmp_path / "a") + b"\xe9.sh")).touch()

    with pytest.raises(TestbedError, match=r"a\\udce9\.sh is not in UTF-8") as caught:
        read_local(tmp_path)
    assert ".testbedignore" in caught.value.hint

    (tmp_path / ".testbedignore").write_text("a*.sh\n")
    assert read_local(tmp_path).digests == {}


@pytest.mark.parametrize("made", ["fifo", "link"])
def test_ignore_file_that_is_none_is_named_and_not_waited_for(
    tmp_path: Path, made: str
) -> None:
    if made == "fifo":
        os.mkfifo(tmp_path / ".testbedignore")
    else:
        (tmp_path / ".testbedignore").symlink_to("/dev/zero")

    with pytest.raises(
        TestbedError, match="testbedignore cannot be read: it is a link"
    ):
        read_local(tmp_path)


def test_file_that_becomes_a_fifo_while_the_folder_is_read_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    os.mkfifo(tmp_path / "a")
    monkeypatch.setattr(Path, "is_file", lambda path: True)

    with pytest.raises(TestbedError, match="a cannot be read") as refused:
        read_local(tmp_path)

    assert "Nothing was sent." in refused.value.hint


def test_content_is_read_through_no_link(tmp_path: Path) -> None:
    write(tmp_path, "secret")
    (tmp_path / "kvm-compose.yaml").symlink_to("secret")

    with pytest.raises(TestbedError, match=r"kvm-compose\.yaml cannot be read"):
        content(tmp_path, "kvm-compose.yaml")


def test_file_that_may_not_be_read_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path) -> None:
        raise PermissionError(EACCES, "Permission denied", str(path))

    monkeypatch.setattr(local, "opened", refuse)

    with pytest.raises(TestbedError, match="Permission denied") as refused:
        ignored_in(tmp_path)

    assert refused.value.hint == "Let it be read by your account."
