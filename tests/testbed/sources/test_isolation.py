"""A fetch's programs reach neither those of another fetch nor the deploy key."""

import shutil
import subprocess
from collections.abc import Iterator
from ipaddress import IPv4Address
from pathlib import Path

import pytest

from orchestration.errors import TestbedError
from orchestration.project.keys import generate_key_pair
from testbed.sources.git import USUAL, Repository, Rules, workspace
from testbed.sources.isolation import (
    COUNT,
    FIRST,
    FOLDER,
    MOST_PROCESSES,
    NUMBERS,
    Account,
    confined,
    end_processes,
    own_accounts,
    own_folder,
)
from testbed.sources.places import place_of
from testbed.sources.ssh_line import Keys
from tests.testbed.sources.wires import is_root
from tests.waiting import wait_until

needs_root = pytest.mark.skipif(not is_root(), reason="accounts are given by root")
HERE = IPv4Address("192.0.2.1")
PLACE = place_of("git@git.example.org:lab/testbed.git")


@pytest.fixture
def locks(tmp_path: Path) -> Path:
    return tmp_path / "git-accounts"


@pytest.fixture
def fetch(settings: object, tmp_path: Path) -> Iterator[Repository]:
    """The folder and accounts of a fetch over ssh, while it goes on."""
    settings.RUNTIME_DIR = tmp_path
    key = generate_key_pair("")
    keys = Keys(key.private_openssh, " ".join(key.public_line.split()[:2]))
    with workspace(PLACE, HERE, keys, USUAL, lambda: 60.0) as found:
        yield found


def run(account: Account | None, *words: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [*confined(account), *words], capture_output=True, text=True, check=False
    )


@needs_root
def test_fetches_at_once_have_different_accounts(locks: Path):
    with own_accounts("nobody", locks) as one, own_accounts("nobody", locks) as other:
        numbers = {one.git.uid, one.ssh.gid, other.git.uid, other.ssh.gid}
        assert len(numbers) == 4
        assert all(FIRST <= number < FIRST + COUNT for number in numbers)

    assert [*locks.iterdir()] == []


@needs_root
def test_fetch_beyond_the_last_account_is_refused(locks: Path):
    two = NUMBERS[:2]

    with (
        own_accounts("nobody", locks, two),
        own_accounts("nobody", locks, two),
        pytest.raises(TestbedError, match="at once"),
        own_accounts("nobody", locks, two),
    ):
        pass


@needs_root
def test_program_has_no_right_and_gets_none(locks: Path):
    with own_accounts("nobody", locks) as accounts:
        for account in (accounts.git, accounts.ssh):
            said = run(account, "cat", "/proc/self/status").stdout
            found = dict(
                line.split(":\t") for line in said.splitlines() if ":\t" in line
            )
            assert found["NoNewPrivs"] == "1"
            kinds = ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")
            assert {int(found[kind], 16) for kind in kinds} == {0}
            assert found["Groups"].strip() == ""
            assert set(found["Uid"].split()) == {str(account.uid)}


@needs_root
def test_program_neither_ends_nor_reads_those_of_another_fetch(locks: Path):
    with own_accounts("nobody", locks) as one, own_accounts("nobody", locks) as other:
        victim = subprocess.Popen([*confined(other.git), "sleep", "60"])
        wait_until(lambda: owner_of(victim.pid) == other.git.uid)

        run(one.git, "sh", "-c", "kill -KILL -1")
        run(one.git, "kill", "-KILL", str(victim.pid))
        read = run(one.git, "cat", f"/proc/{victim.pid}/environ")

        assert victim.poll() is None
        assert read.returncode != 0
    assert victim.wait(10) == -9  # the end of its own fetch


def owner_of(pid: int) -> int:
    return Path(f"/proc/{pid}").stat().st_uid


@needs_root
def test_program_that_left_its_session_ends_with_the_fetch(locks: Path):
    with own_accounts("nobody", locks) as accounts:
        run(accounts.git, "sh", "-c", "setsid sleep 61 >/dev/null 2>&1 &")
        wait_until(lambda: of_account(accounts.git.uid) != [])
        uid = accounts.git.uid

    wait_until(lambda: of_account(uid) == [])


def of_account(uid: int) -> list[str]:
    return [path.name for path in Path("/proc").glob("[0-9]*") if is_of(path, uid)]


def is_of(path: Path, uid: int) -> bool:
    try:
        return path.stat().st_uid == uid and (path / "cmdline").read_bytes() != b""
    except OSError:
        return False


@needs_root
def test_fork_bomb_has_few_processes(locks: Path):
    bomb = "i=0; while [ $i -lt 500 ]; do sleep 9 & i=$((i+1)); done"
    with own_accounts("nobody", locks) as accounts:
        said = run(accounts.git, "sh", "-c", bomb)

        assert said.returncode != 0
        assert len(of_account(accounts.git.uid)) <= 64


@needs_root
def test_more_processes_than_an_account_may_have_are_ended(locks: Path):
    """A program of the fetch that begins beside as many as there may be."""
    others = f"for i in $(seq {MOST_PROCESSES - 1}); do sleep 30 & done"
    with own_accounts("nobody", locks) as accounts:
        uid = accounts.git.uid
        words = ["sh", "-c", f"{others}; exec sleep 30"]
        with subprocess.Popen([*confined(accounts.git), *words]) as first:
            wait_until(lambda: len(of_account(uid)) == MOST_PROCESSES)
            with subprocess.Popen([*confined(accounts.git), "sleep", "30"]) as second:
                wait_until(lambda: len(of_account(uid)) > MOST_PROCESSES)
                end_processes(uid)
                codes = [one.wait(10) for one in (first, second)]

    assert codes == [-9, -9]


@needs_root
def test_deploy_key_is_read_by_ssh_alone(fetch: Repository, locks: Path):
    """git reads what a hostile repository sends: it gets no key of any fetch."""
    key = fetch.folder.parent / "key"
    with own_accounts("nobody", locks) as other:
        accounts = fetch.accounts
        outcomes = {
            "git": run(accounts.git, "cat", str(key)).returncode,
            "other git": run(other.git, "cat", str(key)).returncode,
            "other ssh": run(other.ssh, "cat", str(key)).returncode,
            "ssh": run(accounts.ssh, "cat", str(key)).returncode,
        }

    assert outcomes == {"git": 1, "other git": 1, "other ssh": 1, "ssh": 0}


@needs_root
@pytest.mark.parametrize("name", ["repository", "tmp", "up", "down"])
def test_folder_of_a_fetch_is_closed_to_another(
    fetch: Repository, locks: Path, name: str
):
    path = fetch.folder.parent / name
    with own_accounts("nobody", locks) as other:
        for account in (other.git, other.ssh):
            assert run(account, "test", "-r", str(path)).returncode == 1
            assert run(account, "test", "-w", str(path)).returncode == 1
    assert run(fetch.accounts.git, "test", "-w", str(path)).returncode == 0
    root = fetch.folder.parent
    assert run(fetch.accounts.git, "touch", str(root / "new")).returncode != 0


def test_folder_of_a_worker_that_was_killed_goes_with_the_next_fetch(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    """It has a deploy key, and files of a number that another fetch gets."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with own_folder() as left:
        (left / "key").write_text("a key")
        beside = left.with_name(f"{FOLDER}left")
        shutil.copytree(left, beside)  # the lock of a dead process is gone, too
        outside = tmp_path / "outside"
        outside.mkdir()
        left.with_name(f"{FOLDER}link").symlink_to(outside)

        with own_folder() as one:
            assert one.is_dir()
            assert not beside.exists()
            assert (left / "key").exists()  # that fetch goes on
            assert outside.exists()

        assert not one.exists()
    assert not left.exists()


def test_process_that_is_not_root_has_its_own_account(locks: Path):
    with own_accounts("", locks) as accounts:
        assert (accounts.git, accounts.ssh) == (None, None)

    assert not locks.exists()
    assert run(None, "true").returncode == 0


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("git@git.example.org:lab/a.git", "lab/a.git"),
        ("ssh://git@git.example.org:22/lab/a.git", "/lab/a.git"),
        ("ssh://git@git.example.org/~grace/a.git", "~grace/a.git"),
        ("ssh://git@git.example.org/a%27b", "/a'\\''b"),
    ],
)
def test_server_is_asked_as_git_asks_it(
    settings: object, tmp_path: Path, url: str, path: str
):
    settings.RUNTIME_DIR = tmp_path
    keys, rules = Keys(b"", "ssh-ed25519 AAAA"), Rules(account="")

    with workspace(place_of(url), HERE, keys, rules, lambda: 1.0) as found:
        words = found.line

    assert words[-1] == f"git-upload-pack '{path}'"
    assert words[-2] == "git@git.example.org"
    assert words[-3] == "--"
