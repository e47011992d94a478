"""The guard of paused guests: a real shell program, with a virsh that takes notes."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from orchestration.errors import SnapshotFailed
from orchestration.providers.libvirt.snapshots import guard
from orchestration.providers.libvirt.snapshots.guard import Guard, Guarded
from orchestration.transport.local import LocalTransport
from tests.waiting import wait_until

DOMAINS = (Guarded("uuid-a"), Guarded("uuid-b", has_agent=True))
RESUMED = {"resume uuid-a", "resume uuid-b", "domfsthaw uuid-b"}
VIRSH = """\
#!/bin/sh
shift 3
echo "$*" >> "$NOTES"
[ ! -e "$NOTES.refuses" ]
"""
HOLDER = """\
import sys, time
from orchestration.providers.libvirt.snapshots.guard import Guard, Guarded
from orchestration.transport.local import LocalTransport
guard = Guard(LocalTransport(), [Guarded("uuid-a"), Guarded("uuid-b", has_agent=True)])
guard.start()
print("held", flush=True)
time.sleep(600)
"""

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="virsh is asked as root")


@pytest.fixture(name="notes")
def _notes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    program = tmp_path / "virsh"
    program.write_text(VIRSH)
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setenv("NOTES", str(tmp_path / "notes"))
    return tmp_path / "notes"


def asked(notes: Path) -> set[str]:
    return set(notes.read_text().split("\n")) - {"", "uri"}


def wait_for(notes: Path, lines: set[str]) -> None:
    wait_until(lambda: asked(notes) == lines, "the guard asked libvirt something else")


def test_guard_that_is_sent_home_resumes_nothing(notes: Path) -> None:
    held = Guard(LocalTransport(), DOMAINS)
    held.start()

    assert held.stop()

    assert asked(notes) == set()


def test_guard_that_may_act_resumes_and_thaws(notes: Path) -> None:
    held = Guard(LocalTransport(), DOMAINS)
    held.start()

    held.let_act()

    assert asked(notes) == RESUMED


def test_guard_of_a_killed_process_acts(notes: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER], stdout=subprocess.PIPE, text=True
    )
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"

        process.send_signal(signal.SIGKILL)

    wait_for(notes, RESUMED)


def test_silence_counts_as_a_death_and_is_told(
    notes: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guard, "SILENCE_S", 1)
    monkeypatch.setattr(guard, "BEAT_S", 600.0)
    held = Guard(LocalTransport(), DOMAINS)
    held.start()

    wait_for(notes, RESUMED)

    assert not held.stop()


def test_guest_that_libvirt_still_stores_is_resumed_later(notes: Path) -> None:
    refuses = notes.with_name("notes.refuses")
    held = Guard(LocalTransport(), DOMAINS[:1])
    held.start()
    refuses.touch()
    held._is_to_act = True
    held._over.set()
    wait_until(lambda: "resume uuid-a" in asked(notes))

    refuses.unlink()

    held.stop()
    assert notes.read_text().count("resume uuid-a") > 1


def test_host_without_virsh_is_refused_before_any_pause(
    notes: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    notes.with_name("virsh").write_text("#!/bin/sh\nexit 127\n")

    with pytest.raises(SnapshotFailed, match="cannot guard guests") as refused:
        Guard(LocalTransport(), DOMAINS).start()

    assert "libvirt-clients" in refused.value.hint
