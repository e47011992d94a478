"""Up from a folder sends the folder first; a conflict is shown and overwrites nothing.

The interface asks a real server; what it rehearses is not followed.
"""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from django.contrib.auth.models import User
from pytest_django.live_server_helper import LiveServer
from textual.pilot import Pilot

from testbed.access.tokens import make_token
from testbed.client.terminal.project import read_link
from testbed.client.tui.app import TestbedApp
from testbed.client.tui.asking import Lab, Place
from testbed.client.tui.base import StateLine
from testbed.client.tui.questions import Notice, Question
from testbed.client.tui.runs.run import RunScreen
from testbed.models import Host, Run, Testbed
from tests.testbed.client.tui.test_interface import (
    SMALL,
    is_at,
    shows,
    text_of,
    until,
)
from tests.testbed.conftest import YAML, Doors

pytestmark = pytest.mark.django_db(transaction=True)
Acts = Callable[[Pilot[None]], Awaitable[None]]
TOLD = (
    "a.sh: edited on the server and here",
    "Nothing was overwritten.",
    "testbed sync --take PATH",
)


@pytest.fixture
def folder(
    tmp_path: Path, settings, hosts: tuple[Host, Host], doors: Doors, db: None
) -> Path:
    """A folder named lab with a YAML and a script, and a server that rehearses."""
    settings.TESTBEDS_DIR = tmp_path / "testbeds"
    settings.RUNTIME_DIR = tmp_path / "runtime"
    made = tmp_path / "lab"
    made.mkdir()
    (made / "kvm-compose.yaml").write_text(YAML)
    (made / "a.sh").write_text("echo a\n")
    return made


@pytest.fixture
def lab(live_server: LiveServer, owner: User, folder: Path) -> Lab:
    """Olive's server, from the folder of olive/lab."""
    _, token = make_token(owner, "laptop", ("run", "edit", "manage"), 7)
    return Lab(live_server.url, token, Place(folder, "olive/lab", "olive"), 0.1)


def driven(lab: Lab, acts: Acts, testbed: str = "") -> None:
    """Let a user act on the interface."""

    async def run() -> None:
        app = TestbedApp(lab, testbed)
        async with app.run_test(size=SMALL, notifications=True) as pilot:
            await acts(pilot)

    asyncio.run(run())


async def start_from_the_list(pilot: Pilot[None]) -> None:
    await until(pilot, shows(pilot, "Up of this folder"))
    await pilot.press("u")
    await answer_yes(pilot)


def unwrapped(pilot: Pilot[None]) -> str:
    return " ".join(text_of(pilot).replace("│", " ").split())


async def answer_yes(pilot: Pilot[None]) -> None:
    await until(pilot, shows(pilot, "changed files are sent first"))
    assert isinstance(pilot.app.screen, Question)
    await until(pilot, lambda: pilot.app.focused and pilot.app.focused.id == "yes")
    await pilot.press("enter")


async def to_the_run(pilot: Pilot[None]) -> None:
    await start_from_the_list(pilot)
    await until(pilot, is_at(pilot, RunScreen))


def stored(name: str) -> Path:
    return Testbed.objects.get(name="lab").project.files / name


def test_up_of_a_new_folder_makes_its_testbed_and_starts_the_planned_run(
    lab: Lab, folder: Path
) -> None:
    driven(lab, to_the_run)

    run = Run.objects.get()
    assert (run.command, run.testbed.full_name) == ("up", "olive/lab")
    assert stored("a.sh").read_text() == "echo a\n"
    assert read_link(folder).testbed == "olive/lab"


def test_changed_file_is_sent_before_the_testbed_goes_up(
    lab: Lab, folder: Path
) -> None:
    driven(lab, to_the_run)
    Run.objects.update(status=Run.Status.CANCELLED)
    (folder / "a.sh").write_text("echo b\n")

    async def acts(pilot: Pilot[None]) -> None:
        await until(pilot, shows(pilot, "olive/lab: "))
        await pilot.press("g")
        await answer_yes(pilot)
        await until(pilot, is_at(pilot, RunScreen))

    driven(lab, acts, "olive/lab")

    assert stored("a.sh").read_text() == "echo b\n"
    assert Run.objects.first().command == "generate-artefacts"


def test_screen_tells_how_much_of_a_large_file_has_arrived(
    lab: Lab, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("parts", "sending"):
        monkeypatch.setattr(f"testbed.client.sync.{module}.PART_BYTES", 64 * 1024)
    (folder / "disk.img").write_bytes(b"d" * 128 * 1024)
    told = []
    tell = StateLine.pass_on

    def heard(line: StateLine, words: str) -> None:
        told.append(words)
        tell(line, words)

    monkeypatch.setattr(StateLine, "pass_on", heard)

    driven(lab, to_the_run)

    assert [words for words in told if words] == [
        "disk.img: 0 B of 128.0 KiB, 0 %",
        "disk.img: 64.0 KiB of 128.0 KiB, 50 %",
        "disk.img: 128.0 KiB arrived, 100 %",
    ]
    assert told[-1] == ""
    assert stored("disk.img").stat().st_size == 128 * 1024


def test_file_edited_on_both_sides_is_shown_and_nothing_is_started(
    lab: Lab, folder: Path
) -> None:
    driven(lab, to_the_run)
    Run.objects.all().delete()
    stored("a.sh").write_text("echo server\n")
    (folder / "a.sh").write_text("echo folder\n")

    async def acts(pilot: Pilot[None]) -> None:
        await start_from_the_list(pilot)
        await until(pilot, lambda: all(one in unwrapped(pilot) for one in TOLD))
        assert isinstance(pilot.app.screen, Notice)
        await pilot.press("enter")
        await until(pilot, shows(pilot, "Up of this folder"))

    driven(lab, acts)

    assert stored("a.sh").read_text() == "echo server\n"
    assert (folder / "a.sh").read_text() == "echo folder\n"
    assert not Run.objects.exists()


def test_errors_of_the_yaml_are_shown_with_their_lines(lab: Lab, folder: Path) -> None:
    (folder / "kvm-compose.yaml").write_text(YAML.replace("bridge: lan", "bridge: no"))

    async def acts(pilot: Pilot[None]) -> None:
        await start_from_the_list(pilot)
        await until(pilot, shows(pilot, "line 3:"))

    driven(lab, acts)

    assert not Run.objects.exists()


def test_folder_of_another_testbed_is_not_sent(lab: Lab, folder: Path) -> None:
    assert lab.folder_of("olive/ring") is None
    assert lab.folder_of("olive/lab") == lab.place
