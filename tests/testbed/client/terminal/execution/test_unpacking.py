"""Fetched files are unpacked into one folder, whatever the guests named them."""

import errno
import io
import json
import os
import stat
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.contrib.auth.models import User
from pytest_django.live_server_helper import LiveServer

from orchestration.errors import TestbedError
from orchestration.plan.execution import Execution, Form
from testbed.client.rest.problems import ServerUnreachable
from testbed.client.rest.server import Server, StartedRun
from testbed.client.terminal.execution.unpacking import take_fetched, unpack
from testbed.client.terminal.exits import Refusal
from testbed.client.terminal.following import Follower
from testbed.models import Run, Task, Testbed
from tests.testbed.answer_rows import end, execution
from tests.testbed.client.terminal.conftest import Testbed as Command

FETCH = Execution(Form.FETCH, "@all", path="/var/log")


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """An empty folder, in which the tests unpack."""
    made = tmp_path / "place"
    made.mkdir()
    return made


def names_in(folder: Path) -> list[str]:
    return [entry.name for entry in folder.iterdir()]


def member(name: str, data: bytes = b"x", **values: object) -> bytes:
    """Return a member of a tar: a file unless `type` says another."""
    info = tarfile.TarInfo(name)
    info.size = len(data) if "type" not in values else 0
    for key, value in values.items():
        setattr(info, key, value)
    written = data if info.size else b""
    return info.tobuf() + written + bytes(-len(written) % tarfile.BLOCKSIZE)


def pieces(*members: bytes, of: int = 100) -> Iterator[bytes]:
    """Yield the bytes of a tar in small pieces."""
    stream = io.BytesIO(b"".join(members) + bytes(2 * tarfile.BLOCKSIZE))
    return iter(lambda: stream.read(of), b"")


def test_files_get_below_the_folder_without_the_top_one(place: Path) -> None:
    long = b"y" * 70_000
    odd = os.fsdecode(b"odd\xff")

    skipped = unpack(
        pieces(
            member("lab-1", type=tarfile.DIRTYPE),
            member("lab-1/web/log/a", long),
            member(f"lab-1/web/{odd}", b"odd"),
            member("lab-1/web/again", type=tarfile.LNKTYPE, linkname="lab-1/web/log/a"),
        ),
        place / "to",
    )

    assert not skipped
    assert names_in(place / "to") == ["web"]
    assert (place / "to/web/log/a").read_bytes() == long
    assert (place / "to/web/again").read_bytes() == long
    assert (place / "to/web" / odd).read_text() == "odd"


@pytest.mark.parametrize(
    "name", ["lab/../../out", "/lab/out", "lab/web//out", "lab/./out", "../out"]
)
def test_name_that_leaves_the_folder_is_refused_and_nothing_stays(
    place: Path, name: str
) -> None:
    bad = pieces(member("lab/web/good"), member(name))

    with pytest.raises(TestbedError, match="leaves the folder"):
        unpack(bad, place / "to")

    assert names_in(place) == []


def test_links_and_devices_are_left_out_and_no_link_is_followed(place: Path) -> None:
    outside = place / "outside"
    outside.mkdir()

    skipped = unpack(
        pieces(
            member("lab/web/link", type=tarfile.SYMTYPE, linkname=str(outside)),
            member("lab/web/pipe", type=tarfile.FIFOTYPE),
            member("lab/web/disk", type=tarfile.BLKTYPE),
            member("lab/web/link/file"),
        ),
        place / "to",
    )

    assert skipped == ["web/link", "web/pipe", "web/disk"]
    assert names_in(outside) == []
    assert (place / "to/web/link/file").read_bytes() == b"x"


@pytest.mark.parametrize("target", ["lab/../../secret", "/etc/passwd", "lab/none"])
def test_further_name_of_a_file_outside_is_refused(place: Path, target: str) -> None:
    (place / "secret").write_text("secret")
    bad = pieces(member("lab/web/name", type=tarfile.LNKTYPE, linkname=target))

    with pytest.raises(TestbedError):
        unpack(bad, place / "to")

    assert names_in(place) == ["secret"]


def test_modes_of_guests_do_not_count_but_programs_stay_programs(
    place: Path,
) -> None:
    unpack(
        pieces(
            member("lab/web/locked", type=tarfile.DIRTYPE, mode=0),
            member("lab/web/locked/root", mode=0o6755),
            member("lab/web/hidden", mode=0),
        ),
        place / "to",
    )

    usual = place / "usual"
    usual.touch()
    hidden, root = place / "to/web/hidden", place / "to/web/locked/root"
    assert hidden.stat().st_mode == usual.stat().st_mode
    assert stat.S_IMODE(root.stat().st_mode) & 0o7100 == 0o100


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "No space left"),
        (ServerUnreachable("It is gone."), "It is gone"),
    ],
)
def test_failure_in_the_middle_leaves_no_half_file(
    place: Path, error: Exception, words: str
) -> None:
    def broken() -> Iterator[bytes]:
        yield member("lab/web/a")
        yield member("lab/web/b", b"y" * 5000)[:2000]
        raise error

    with pytest.raises(TestbedError, match=words):
        unpack(broken(), place / "to")

    assert names_in(place) == []


def test_archive_that_ends_early_is_refused(place: Path) -> None:
    cut = iter([member("lab/web/b", b"y" * 5000)[:2000]])

    with pytest.raises(TestbedError, match="cannot be read"):
        unpack(cut, place / "to")

    assert names_in(place) == []


def test_folder_with_files_is_refused_and_an_empty_one_is_used(place: Path) -> None:
    (place / "full").mkdir()
    (place / "full/mine").write_text("mine")
    (place / "empty").mkdir()

    with pytest.raises(Refusal, match="not empty"):
        unpack(pieces(member("lab/web/a")), place / "full")
    unpack(pieces(member("lab/web/a")), place / "empty")

    assert names_in(place / "full") == ["mine"]
    assert names_in(place / "empty") == ["web"]


@pytest.fixture
def fetched(testbed: Testbed, owner: User) -> Run:
    """A fetch that is over, of which web sent a file."""
    run = execution(testbed, owner, ("web",), FETCH)
    log = testbed.project.fetched(run.pk) / "web" / "log"
    log.mkdir(parents=True)
    (log / "syslog").write_bytes(b"x" * 200_000)
    Task.objects.filter(instruction__run=run).update(status="done")
    end(run, "succeeded")
    return run


# Only the server of tests is no ASGI server.
@pytest.mark.filterwarnings("ignore:StreamingHttpResponse must consume")
@pytest.mark.django_db(transaction=True)
def test_files_of_a_run_come_from_a_server(
    live_server: LiveServer, token: str, fetched: Run, place: Path
) -> None:
    with Server(live_server.url, token) as server:
        take_fetched(server, fetched.pk, place / "to")

    assert (place / "to/web/log/syslog").read_bytes() == b"x" * 200_000


@pytest.mark.filterwarnings("ignore:StreamingHttpResponse must consume")
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("is_over", [True, False], ids=["over", "left with Ctrl+C"])
def test_command_downloads_when_the_run_is_over(
    signed_in: Command,
    fetched: Run,
    place: Path,
    is_over: bool,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def drive(follower: Follower) -> int:
        follower.end = {"status": "succeeded"} if is_over else {}
        return 0 if is_over else 130

    started = StartedRun(fetched.pk, ())
    monkeypatch.setattr(Server, "start", lambda server, path, wish: started)
    monkeypatch.setattr(Follower, "drive", drive)
    words = ("fetch", "@all", "/var/log", "--project-name", "lab", "--json")

    code = signed_in(*words, "--to", str(place / "to"))

    said = capsys.readouterr()
    assert code == (0 if is_over else 130), said.err
    assert "blocks" in json.loads(said.out)
    assert (place / "to/web/log/syslog").exists() == is_over
    assert (f"The files are in {place / 'to'}." in said.err) == is_over


@pytest.mark.django_db(transaction=True)
def test_full_folder_is_refused_before_a_run_starts(
    signed_in: Command, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "mine").write_text("mine")

    assert signed_in("fetch", "@all", "/var/log", "--to", ".") == 3
    assert "is not empty" in capsys.readouterr().err
