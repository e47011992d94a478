"""The script that writes users' keys, run by the shells that guests have."""

import shutil
import subprocess
from pathlib import Path

import pytest

from orchestration.providers.guest.user_keys import (
    BEGIN,
    END,
    keys_digest,
    write_keys,
)
from orchestration.transport.base import Scope

OWN = "ssh-ed25519 AAAAown testbed lab"
SHELLS = [["dash"], ["bash"], ["busybox", "sh"]]


@pytest.fixture(params=SHELLS, ids=[words[0] for words in SHELLS])
def shell(request: pytest.FixtureRequest) -> list[str]:
    words: list[str] = request.param
    if shutil.which(words[0]) is None:
        pytest.skip(f"no {words[0]}")
    return words


def write(home: Path, shell: list[str], lines: tuple[str, ...]) -> str:
    """Write the keys as a guest does, and return the whole file."""
    transport = _Recorded()
    write_keys(transport, lines, scope=Scope())
    subprocess.run(
        [*shell, *transport.words[1:]],
        input=transport.stdin,
        env={"HOME": str(home), "PATH": "/usr/bin:/bin"},
        check=True,
    )
    return (home / ".ssh/authorized_keys").read_text()


class _Recorded:
    """Keep a command's words and input."""

    machine = "web"

    def run(self, cmd: object, **options: object) -> None:
        self.words, self.stdin = list(cmd.argv), cmd.stdin


def test_keys_stand_in_a_block_behind_other_lines(tmp_path: Path, shell: list[str]):
    (tmp_path / ".ssh").mkdir()
    file = tmp_path / ".ssh/authorized_keys"
    file.write_text(f"{OWN}\n\n# mine\n")

    found = write(tmp_path, shell, ("ssh-ed25519 AAAA1 a:b", "ssh-ed25519 AAAA2 a:c"))

    assert found == (
        f"{OWN}\n\n# mine\n{BEGIN}\nssh-ed25519 AAAA1 a:b\nssh-ed25519 AAAA2 a:c\n{END}\n"
    )
    assert file.stat().st_mode & 0o777 == 0o600
    assert [path.name for path in file.parent.iterdir()] == [file.name]


def test_block_is_replaced_and_removed(tmp_path: Path, shell: list[str]):
    write(tmp_path, shell, ("ssh-ed25519 AAAA1 a:b",))
    file = tmp_path / ".ssh/authorized_keys"
    file.write_text(f"{OWN}\n{file.read_text()}# later")

    second = write(tmp_path, shell, ("ssh-ed25519 AAAA2 a:b",))
    none = write(tmp_path, shell, ())

    assert second == f"{OWN}\n# later\n{BEGIN}\nssh-ed25519 AAAA2 a:b\n{END}\n"
    assert none == f"{OWN}\n# later\n"


def test_block_without_its_end_takes_no_other_line(tmp_path: Path, shell: list[str]):
    (tmp_path / ".ssh").mkdir()
    file = tmp_path / ".ssh/authorized_keys"
    file.write_text(f"{BEGIN}\n{OWN}\n{BEGIN}\nssh-ed25519 AAAA1 a:b\n{END}\n")

    found = write(tmp_path, shell, ())

    assert found == f"{OWN}\n"


def test_folder_is_made_for_its_owner_alone(tmp_path: Path, shell: list[str]):
    write(tmp_path, shell, ("ssh-ed25519 AAAA1 a:b",))

    assert (tmp_path / ".ssh").stat().st_mode & 0o777 == 0o700


def test_digest_tells_keys_from_others_and_from_none():
    digests = {keys_digest(lines) for lines in ((), ("a",), ("b",), ("a", "b"))}

    assert len(digests) == 4
    assert keys_digest(()) == ""
