"""The commands around a user's script, tried with the shells of this machine."""

import shutil
import signal
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from orchestration.providers.guest.user_script import (
    RECORD,
    Record,
    parse_record,
    record_command,
    script_command,
)
from orchestration.transport.base import Command

BASHISM = b"if [[ -d / ]]; then echo done; fi\n"
BOOT = Path("/proc/sys/kernel/random/boot_id").read_text().strip()


@dataclass
class Guest:
    """A folder that stands for a guest: its script, its record, and its programs."""

    folder: Path

    def run(self, script: bytes, *, restarts: int = 0) -> list[str]:
        """Run a script as in a guest, and return the lines that it printed."""
        self.script.write_bytes(script)
        cmd = script_command(script, str(self.script), restarts=restarts)
        return self._said(cmd).splitlines()

    def look(self) -> Record:
        return parse_record(self._said(record_command(str(self.script))))

    def give(self, program: str, text: str = "") -> None:
        """Give it a program: the one of this machine, or one with this text."""
        target = self.folder / "bin" / program
        found = shutil.which(program)
        if text:
            target.write_text(f"#!/bin/sh\n{text}\n")
            target.chmod(0o755)
        elif found:
            target.symlink_to(found)

    @property
    def script(self) -> Path:
        return self.folder / "setup.sh"

    @property
    def record(self) -> Path:
        return self.folder / "etc/record"

    def _said(self, cmd: Command) -> str:
        argv = [str(self.record) if word == RECORD else word for word in cmd.argv]
        env = {**cmd.env, "PATH": str(self.folder / "bin")}
        here = f"{self.folder}/etc/apt".encode()
        done = subprocess.run(
            [shutil.which("sh") or "sh", *argv[1:]],
            input=cmd.stdin.replace(b"/etc/apt", here),
            env=env,
            capture_output=True,
            check=False,
        )
        return done.stdout.decode()


@pytest.fixture
def guest(tmp_path: Path) -> Guest:
    """A guest with sh only."""
    (tmp_path / "bin").mkdir()
    guest = Guest(tmp_path)
    for program in ("sh", "cat", "tr", "mkdir", "rm", "sed"):
        guest.give(program)
    return guest


def test_script_that_names_no_interpreter_runs_with_bash(guest: Guest) -> None:
    guest.give("bash")

    lines = guest.run(BASHISM)

    assert lines == ["The script has no #! line; it runs with bash.", "done"]


def test_guest_without_bash_runs_it_with_sh(guest: Guest) -> None:
    lines = guest.run(b"#\necho done\n")

    assert lines == ["The script has no #! line; it runs with sh.", "done"]


@pytest.mark.parametrize(
    ("script", "words"),
    [
        pytest.param(b"#!/bin/bash -e\n", ("/bin/bash", "-e"), id="options"),
        pytest.param(
            b"#!/usr/bin/env python3\n", ("/usr/bin/env", "python3"), id="env"
        ),
    ],
)
def test_script_runs_with_the_interpreter_that_it_names(
    script: bytes, words: tuple[str, ...]
) -> None:
    cmd = script_command(script, "/tmp/a.sh")

    assert cmd.argv == ("sh", "-s", "--", RECORD, "/tmp/a.sh", *words)
    assert cmd.as_root


@pytest.mark.parametrize("first", [b"", b"#!", b"#! \n", b"# a comment\n", b"\xff\n"])
def test_script_without_an_interpreter_is_read_by_a_shell(first: bytes) -> None:
    cmd = script_command(first, "/tmp/a.sh")

    assert cmd.argv == ("sh", "-s", "--", RECORD, "/tmp/a.sh")


def test_record_has_the_boot_and_the_exit_code(guest: Guest) -> None:
    guest.run(b"#!/bin/sh\nexit 3\n")

    record = guest.look()

    assert record == Record(boot_id=BOOT, ran_in=BOOT, exit_code=3)
    assert (record.is_settled, record.has_restarted) == (True, False)
    assert not guest.script.exists()


def test_exit_code_is_recorded_where_a_shutdown_ends_all_processes(
    guest: Guest,
) -> None:
    guest.run(b'#!/bin/sh\nkill -TERM "$PPID"\nexit 0\n')

    assert guest.look().exit_code == 0


def test_script_that_a_signal_ended_is_recorded_as_that(guest: Guest) -> None:
    guest.run(b"#!/bin/sh\nkill -TERM $$\n")

    assert guest.look().exit_code == 128 + signal.SIGTERM


def test_script_knows_how_often_the_guest_restarted(guest: Guest) -> None:
    lines = guest.run(b'#!/bin/sh\necho "$TESTBED_RESTARTS"\n', restarts=2)

    assert lines == ["2"]


def test_systemd_says_that_the_guest_stops(guest: Guest) -> None:
    guest.give("systemctl", "echo stopping; exit 1")
    guest.run(b"#!/bin/sh\n")

    record = guest.look()

    assert (record.is_stopping, record.is_settled) == (True, False)


def test_guest_that_never_ran_a_script_has_no_record(guest: Guest) -> None:
    record = guest.look()

    assert (record.ran_in, record.exit_code) == ("", None)
    assert parse_record("") == Record()


@pytest.mark.parametrize(
    ("record", "code"),
    [
        pytest.param(Record("2", ran_in="1", exit_code=0), 0, id="ended, restarted"),
        pytest.param(Record("2", ran_in="1", exit_code=3), 3, id="failed, restarted"),
        pytest.param(Record("2", ran_in="1", exit_code=143), None, id="cut off"),
        pytest.param(Record("2", ran_in="1"), None, id="power lost"),
        pytest.param(Record("2"), None, id="power lost with the record"),
        pytest.param(Record("1", ran_in="1", exit_code=143), 143, id="no restart"),
    ],
)
def test_only_a_restart_leaves_a_script_without_an_exit_code(
    record: Record, code: int | None
) -> None:
    assert record.is_settled
    assert record.ended_with == code


def test_script_that_still_runs_is_not_settled() -> None:
    assert not Record("1", ran_in="1").is_settled


@pytest.fixture
def debian(guest: Guest) -> Guest:
    """A guest with apt and systemd; what systemd is asked is in the file `asked`.

    apt-daily.service ends at the third look.
    """
    (guest.folder / "etc/apt/apt.conf.d").mkdir(parents=True)
    guest.give("grep")
    guest.give("sleep", f"echo x >> {guest.folder}/slept")
    asked, slept = guest.folder / "asked", guest.folder / "slept"
    guest.give(
        "systemctl",
        f"""echo "$@" >> {asked}
case "$*" in
  is-active*) if [ "$(cat {slept} 2> /dev/null)" = "x
x" ]; then echo inactive; else echo activating; fi ;;
  *is-enabled*upgrade*) exit 1 ;;
esac""",
    )
    return guest


def asked(guest: Guest) -> list[str]:
    lines = (guest.folder / "asked").read_text().splitlines()
    return [line for line in lines if "is-" not in line]


def test_apt_waits_for_its_lock_while_a_script_runs(debian: Guest) -> None:
    folder = debian.folder / "etc/apt/apt.conf.d"

    lines = debian.run(f"#!/bin/sh\ncat {folder}/*\n".encode())

    assert 'DPkg::Lock::Timeout "300";' in lines
    assert list(folder.iterdir()) == []


def test_timers_of_apt_are_held_while_a_script_runs(debian: Guest) -> None:
    lines = debian.run(b"#!/bin/sh\nsystemctl script\necho ran\n")

    assert asked(debian) == [
        "stop apt-daily.timer",
        "script",
        "--no-block start apt-daily.timer",
    ]
    assert lines == ["Waits for the daily run of apt.", "ran"]
    assert (debian.folder / "slept").read_text() == "x\nx\n"


def test_guest_without_apt_is_left_alone(guest: Guest) -> None:
    guest.give("systemctl", "echo systemd was asked")

    assert guest.run(b"#!/bin/sh\necho ran\n") == ["ran"]
