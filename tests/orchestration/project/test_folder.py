"""A testbed's folder: whole states, markers that are never lost, confined paths."""

import json
import os
import threading
from pathlib import Path

import pytest

from orchestration.compose.reading.text import SIZE_LIMIT_BYTES
from orchestration.errors import PathOutside, StateError
from orchestration.project.folder import Project
from orchestration.state.model import SCHEMA_VERSION, Markers
from tests.golden import DATA
from tests.orchestration.state.samples import build, machine, sample, spec_of

THREADS, MARKS = 8, 100


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """A folder with the state of eight guests."""
    project = Project(tmp_path / "lab")
    project.create()
    spec = spec_of(*(machine(f"g{n}", "br0") for n in range(THREADS)))
    project.write_state(build(spec))
    return project


def mode_of(path: Path) -> int:
    return path.stat().st_mode & 0o777


def marks(project: Project, guest: str) -> Markers:
    return project.read_state().guest(guest).markers


def test_qemu_passes_to_the_artefacts_and_nobody_else_reads(tmp_path: Path) -> None:
    umask = os.umask(0o077)
    project = Project(tmp_path / "testbeds" / "lab")
    try:
        project.create()
        project.clear()
    finally:
        os.umask(umask)

    passed = (project.artefacts, project.directory, project.directory.parent)
    assert {mode_of(folder) for folder in passed} == {0o711}
    assert {mode_of(folder) for folder in (project.files, project.keys)} == {0o700}


def test_state_and_markers_are_their_owners_alone(project: Project) -> None:
    project.mark("g1", disk="made")

    files = (project.state_file, project.markers_file)
    assert {mode_of(file) for file in files} == {0o600}


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_folder_of_the_webs_account_keeps_its_owner_under_root(
    project: Project,
) -> None:
    os.chown(project.directory, 12345, 12345)

    project.clear()

    assert project.artefacts.stat().st_uid == 12345


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_web_reads_under_its_own_account_what_root_wrote(project: Project) -> None:
    os.chown(project.directory, 12345, 12345)

    project.write_state(project.read_state())
    project.mark("g1", disk="made")

    files = (project.state_file, project.markers_file)
    assert {file.stat().st_uid for file in files} == {12345}


def test_state_comes_back_as_it_was_written(tmp_path: Path) -> None:
    project, state = Project(tmp_path), sample("stretched")

    project.write_state(state)

    assert project.read_state() == state


def test_missing_state_says_what_to_do(tmp_path: Path) -> None:
    project = Project(tmp_path)

    assert not project.has_state()
    with pytest.raises(StateError, match="no state yet") as caught:
        project.read_state()
    assert caught.value.hint == "Generate the artefacts first."


@pytest.mark.parametrize("text", ["", "{", "{}", "[]", '{"schema_version": 1}'])
def test_broken_state_is_refused_with_its_reason(project: Project, text: str) -> None:
    project.state_file.write_text(text)

    with pytest.raises(StateError, match=r"state\.json .* cannot be read") as caught:
        project.read_state()

    assert caught.value.detail
    assert "generate the artefacts again" in caught.value.hint


def test_state_of_another_version_is_refused(project: Project) -> None:
    text = project.state_file.read_text()
    now = f'"schema_version": {SCHEMA_VERSION}'
    project.state_file.write_text(text.replace(now, '"schema_version": 99'))

    with pytest.raises(StateError, match="newer version") as caught:
        project.read_state()

    assert "version 99" in caught.value.message
    assert "Update this program" in caught.value.hint


def test_state_of_an_earlier_version_goes_on_with_its_markers(project: Project) -> None:
    project.state_file.write_bytes((DATA / "states" / "version-1.json").read_bytes())
    project.mark("two", seed="from the version before", reached="now")

    read = project.read_state()
    project.write_state(read)

    assert read.guest("two").markers.reached == "now"
    assert project.read_state() == read
    stored = json.loads(project.state_file.read_text())
    assert stored["schema_version"] == SCHEMA_VERSION
    assert "seed" not in stored["guests"][1]["markers"]


def test_reader_sees_the_old_or_the_new_state_and_never_half_of_one(
    project: Project,
) -> None:
    one, other = project.read_state(), sample("stretched")
    over = threading.Event()
    seen = []

    def read() -> None:
        while not over.is_set():
            seen.append(project.read_state().testbed)

    reader = threading.Thread(target=read)
    reader.start()
    for _ in range(15):
        project.write_state(other)
        project.mark("g1", script="x")
        project.write_state(one)
    over.set()
    reader.join()

    assert set(seen) <= {one.testbed, other.testbed}
    assert seen
    assert list(project.directory.glob("*.part")) == []


def test_state_that_cannot_be_written_leaves_the_old_one(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = project.read_state()

    def full(_handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("orchestration.project.folder.os.fsync", full)
    with pytest.raises(OSError, match="No space left"):
        project.write_state(sample("stretched"))

    assert project.read_state() == before
    assert list(project.directory.glob("*.part")) == []


def test_marks_of_many_workers_are_all_kept(project: Project) -> None:
    def work(number: int) -> None:
        mine = Project(project.directory)
        for count in range(1, MARKS + 1):
            mine.mark(f"g{number}", run_script_exit_code=count, script=f"s{count}")

    threads = [threading.Thread(target=work, args=(n,)) for n in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    lines = project.markers_file.read_text().splitlines()
    assert len([line for line in lines if line]) == THREADS * MARKS
    for guest in project.read_state().guests:
        assert guest.markers == Markers(run_script_exit_code=MARKS, script=f"s{MARKS}")


def test_later_mark_wins_and_others_stay(project: Project) -> None:
    project.mark("g1", disk="one.qcow2", script="old", script_exit_code=1)
    project.mark("g1", script="new", script_exit_code=0)
    project.mark("g2", reached="hash")
    project.mark("g1", script_exit_code=None)

    assert marks(project, "g1") == Markers(disk="one.qcow2", script="new")
    assert marks(project, "g2") == Markers(reached="hash")
    assert marks(project, "g3") == Markers()


def test_mark_of_a_guest_that_is_gone_does_no_harm(project: Project) -> None:
    project.mark("nobody", script="x")

    assert len(project.read_state().guests) == THREADS


@pytest.mark.parametrize(
    "torn", ['{"guest": "g1", "scr', '{"guest"', "\0\0\0", "7", "[]", '{"a": 1}']
)
def test_torn_line_is_left_out_and_spoils_no_other(project: Project, torn: str) -> None:
    project.mark("g1", script="before")
    with project.markers_file.open("a") as log:
        log.write(torn)

    assert marks(project, "g1").script == "before"
    project.mark("g1", disk="after")

    assert marks(project, "g1") == Markers(script="before", disk="after")


def test_half_written_mark_is_an_error(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "orchestration.project.folder.os.write", lambda _handle, _data: 3
    )

    with pytest.raises(StateError, match="g1"):
        project.mark("g1", script="x")


def test_written_state_holds_its_markers_itself(project: Project) -> None:
    project.mark("g1", script="done")

    project.write_state(project.read_state())

    assert not project.markers_file.exists()
    assert marks(project, "g1") == Markers(script="done")


def test_clear_removes_state_and_artefacts_only(project: Project) -> None:
    project.yaml.write_text("machines: []\n")
    project.identity_file.write_text("key")
    (project.artefacts / "deep").mkdir()
    (project.artefacts / "deep" / "seed.iso").write_text("x")
    project.mark("g1", script="x")

    project.clear()
    project.clear()

    assert not project.has_state()
    assert not project.markers_file.exists()
    assert list(project.artefacts.iterdir()) == []
    assert (project.yaml.exists(), project.identity_file.exists()) == (True, True)


def test_digest_follows_the_yaml(project: Project) -> None:
    assert project.yaml_sha256() == ""
    project.yaml.write_text("a")
    first = project.yaml_sha256()
    project.yaml.write_text("b")

    assert len(first) == 64
    assert project.yaml_sha256() != first


@pytest.mark.parametrize("path", ["a.sh", "./a.sh", "sub/../a.sh", "sub/deep/a.sh"])
def test_paths_inside_are_found(project: Project, path: str) -> None:
    found = project.file(path)

    assert found.is_relative_to(project.files.resolve())
    assert found.name == "a.sh"


@pytest.mark.parametrize(
    "path",
    ["../state.json", "/etc/passwd", "sub/../../keys/id_ed25519", "..", "a\0b"],
)
def test_paths_outside_are_refused(project: Project, path: str) -> None:
    with pytest.raises(PathOutside) as caught:
        project.file(path)

    assert caught.value.hint


def test_symlinks_may_not_lead_out(project: Project) -> None:
    (project.files / "out").symlink_to("/etc")
    (project.files / "key").symlink_to(project.identity_file)
    (project.files / "real.sh").write_text("x")
    (project.files / "in").symlink_to("real.sh")

    assert project.file("in").read_text() == "x"
    for path in ("out", "out/passwd", "key"):
        with pytest.raises(PathOutside):
            project.file(path)


def test_links_in_a_circle_are_refused(project: Project) -> None:
    (project.files / "one").symlink_to("two")
    (project.files / "two").symlink_to("one")

    with pytest.raises(PathOutside):
        project.file("one")


def test_sibling_folder_with_the_same_beginning_is_outside(project: Project) -> None:
    (project.directory / "files-of-others").mkdir()

    with pytest.raises(PathOutside):
        project.file("../files-of-others/x")


def test_yaml_is_read_one_byte_further_than_it_may_be_parsed(project: Project) -> None:
    without = project.read_yaml()
    project.yaml.write_bytes(b"\n" * (SIZE_LIMIT_BYTES * 3))

    assert without == b""
    assert len(project.read_yaml()) == SIZE_LIMIT_BYTES + 1
